//! The one file that names engines. A socket is filled here and nowhere else.

use std::sync::Arc;

use sealgrid_graph::execute::Executor;
use sealgrid_graph::fast::FastExecutor;

/// What executes integer graphs on this machine.
pub fn executor() -> Arc<dyn Executor> {
    Arc::new(FastExecutor::new())
}

/// The kernels that [`executor`] has chosen for this processor.
pub fn kernels() -> String {
    FastExecutor::new().backend().name().to_owned()
}
