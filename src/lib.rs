pub use kube as _k;
