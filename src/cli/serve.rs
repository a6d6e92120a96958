//! `prentice serve`.

use tokio_util::sync::CancellationToken;

use super::Context;
use super::ending::Ending;
use crate::app::{AppError, signalled};

/// Serves until a signal; the first lets what is quick end, the second ends at once.
pub(super) async fn serve(context: &Context) -> Result<Ending, AppError> {
    let app = context.open().await?;
    let stop = CancellationToken::new();
    let (stopping, say) = (stop.clone(), context.say());
    let guard = tokio::spawn(async move {
        signalled().await;
        say("stopping: what runs is handed back and begun anew by the next start");
        stopping.cancel();
        std::process::exit(signalled().await);
    });
    let served = app.serve(&stop, &context.say()).await;
    guard.abort();
    app.close().await;
    served.map(|()| Ending::text(0, ""))
}
