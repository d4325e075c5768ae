//! Large files from a node, over a connection of their own, handed on as they arrive: nothing of them is kept here.

use super::dial::Dialer;
use super::link::Link;
use super::pipe::Receiver;
use super::remote::Take;
use super::{RemoteError, node, root};

/// Reads the file `from` on the node behind `link` into `take`; how many bytes it had.
pub(super) async fn receive(dialer: &Dialer, link: &Link, from: &str, take: Take<'_>) -> Result<u64, RemoteError> {
    let token = node::token();
    let (mut pipe, first) = root::start(dialer, link, &node::give(&token, from), &token).await?;
    let failed = |seen: String| RemoteError::Download { from: from.to_owned(), seen };
    let Some(size) = first.strip_prefix("ready ").and_then(|size| size.parse::<u64>().ok()) else {
        return Err(failed(said(&mut pipe.receiver, &token).await));
    };
    let mut left = size;
    while left > 0 {
        let Some(piece) = pipe.receiver.bytes(left).await else {
            return Err(pipe.receiver.lost(&format!("{} of {size} bytes of {from}", size - left)));
        };
        left -= piece.len() as u64;
        take(&piece).map_err(|e| RemoteError::Local { seen: format!("what came from {from} could not be kept: {e}") })?;
    }
    match said(&mut pipe.receiver, &token).await.as_str() {
        "" => Ok(size),
        wrong => Err(failed(wrong.to_owned())),
    }
}

/// What stands before the last line, which says whether all went well; if it does not say so, that too.
async fn said(receiver: &mut Receiver, token: &str) -> String {
    let mut said = Vec::new();
    while let Some(line) = receiver.line().await {
        let line = String::from_utf8_lossy(&line);
        match line.strip_prefix(token) {
            Some(end) if end.trim() == "done 0" => return said.join("; "),
            Some(_) => return if said.is_empty() { "it could not be read to its end".to_owned() } else { said.join("; ") },
            None if line.trim().is_empty() => {}
            None => said.push(line.trim().to_owned()),
        }
    }
    said.push(receiver.lost("").to_string());
    said.join("; ")
}
