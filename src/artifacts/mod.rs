//! Downloads: resolving versions into URLs and sums, the operator's cache, mirrors, unpacking.
