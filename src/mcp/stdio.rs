//! The server over standard input and output: one JSON-RPC message a line, and nothing else.

use std::io::Write;

use rmcp::ServiceExt;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::{AsyncReadExt, duplex, stdin};
use tokio::runtime::Handle;

use super::LARGEST_REQUEST;
use super::server::Mcp;
use crate::failure::Failure;

/// Bytes that are under way to whoever reads.
const PIPE: usize = 64 * 1024;

/// Answers what comes by standard input, until its end. What is answered goes to `out`.
///
/// # Errors
/// When nobody reads any more, or what comes is not the protocol.
pub fn converse(mcp: Mcp, handle: &Handle, out: &mut dyn Write) -> Result<(), Failure> {
    let (ours, mut said) = duplex(PIPE);
    handle.block_on(async {
        let served = tokio::spawn(async move {
            let transport = AsyncRwTransport::new_server(stdin(), ours).with_max_line_length(LARGEST_REQUEST);
            match mcp.serve(transport).await {
                Ok(running) => running.waiting().await.map(|_| ()).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        });
        let mut buffer = vec![0; PIPE];
        loop {
            let length = said.read(&mut buffer).await?;
            if length == 0 {
                break;
            }
            out.write_all(&buffer[..length])?;
            out.flush()?;
        }
        match served.await {
            Ok(Err(why)) => tracing::debug!("mcp: {why}"),
            Err(error) => return Err(Failure::running(format!("mcp: {error}"))),
            Ok(Ok(())) => {}
        }
        Ok(())
    })
}
