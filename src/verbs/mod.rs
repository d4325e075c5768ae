//! One file a verb: what each command does, from arguments to exit code.
