//! `prentice serve`.

use tokio_util::sync::CancellationToken;

use super::Context;
use super::ending::Ending;
use super::log::Log;
use crate::app::{AppError, signalled};

/// Serves until a signal; the first lets what is quick end, the second ends at once.
pub(super) async fn serve(context: &Context, verbose: u8) -> Result<Ending, AppError> {
    let settings = context.settings()?;
    Log::of_server(&settings.0, verbose).start(context.colour);
    let app = context.open_with(settings).await?;
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
