//! Backups in a bucket. Credentials come from the environment, as other programs have them; requests are signed for an hour, and no
//! message shows a signed address.

use super::place::{Kept, Shelf};
use crate::error::{Failure, Result, exit};
use futures::StreamExt;
use futures::future::BoxFuture;
use rusty_s3::actions::{DeleteObject, GetObject, HeadObject, ListObjectsV2, PutObject};
use rusty_s3::{Credentials, S3Action, UrlStyle};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use url::Url;

/// How long a signed request is good for.
const SIGNED: Duration = Duration::from_hours(1);
/// Until the store has answered at all.
const CONNECT: Duration = Duration::from_secs(20);
/// Without a byte for this long a transfer is given up.
const SILENT: Duration = Duration::from_mins(1);
/// Bytes that one upload can have.
const LARGEST: u64 = 5 << 30;

/// A bucket, and where in it.
#[derive(Clone)]
pub(super) struct Bucket {
    store: rusty_s3::Bucket,
    credentials: Credentials,
    /// Empty, or with a slash at its end.
    prefix: String,
    client: reqwest::Client,
}

impl Bucket {
    /// `BUCKET/PREFIX`; `env` looks up `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`,
    /// and `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` for stores that are not Amazon's.
    ///
    /// # Errors
    /// Wrong usage.
    pub(super) fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let usage = |what: String| Failure::new(exit::USAGE, what);
        let (name, prefix) = text.split_once('/').unwrap_or((text, ""));
        let env = |names: &[&str]| names.iter().find_map(|n| env(n).filter(|v| !v.is_empty()));
        let needed = |name: &str| {
            env(&[name]).ok_or_else(|| usage(format!("s3://{text} needs {name} in the environment")).help("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for another store than Amazon's also AWS_ENDPOINT_URL, as http(s)://HOST:PORT"))
        };
        let (key, secret) = (needed("AWS_ACCESS_KEY_ID")?, needed("AWS_SECRET_ACCESS_KEY")?);
        let credentials = match env(&["AWS_SESSION_TOKEN"]) {
            Some(token) => Credentials::new_with_token(key, secret, token),
            None => Credentials::new(key, secret),
        };
        let region = env(&["AWS_REGION", "AWS_DEFAULT_REGION"]).unwrap_or_else(|| "us-east-1".into());
        let own = env(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
        let style = if own.is_some() || name.contains('.') { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let endpoint = own.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let endpoint: Url = endpoint.parse().map_err(|e| usage(format!("AWS_ENDPOINT_URL is no address: {e}")))?;
        let store = rusty_s3::Bucket::new(endpoint, style, name.to_owned(), region).map_err(|e| usage(format!("s3://{text}: {e}")))?;
        let client = reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(SILENT).build();
        let client = client.map_err(|e| Failure::failed(format!("no HTTP client can be made: {e}")))?;
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { store, credentials, prefix, client })
    }

    /// Uploads `file`, and asks the store how much of it is there.
    async fn upload(&self, name: &str, file: &Path) -> Result<()> {
        let local = |e: std::io::Error| Failure::failed(format!("{} cannot be read: {e}", file.display()));
        let from = tokio::fs::File::open(file).await.map_err(local)?;
        let bytes = from.metadata().await.map_err(local)?.len();
        if bytes > LARGEST {
            return Err(Failure::failed(format!("{} is too large for one upload: {bytes} bytes", self.show(name)))
                .help("keep backups in a folder, and let another program copy it"));
        }
        let object = format!("{}{name}", self.prefix);
        let url = PutObject::new(&self.store, Some(&self.credentials), &object).sign(SIGNED);
        let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::with_capacity(from, 256 << 10));
        self.ask(name, self.client.put(url).header("content-length", bytes).body(body)).await?;
        let url = HeadObject::new(&self.store, Some(&self.credentials), &object).sign(SIGNED);
        let told = self.ask(name, self.client.head(url)).await?;
        let there = told.headers().get("content-length").and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if there == Some(bytes) {
            return Ok(());
        }
        Err(Failure::failed(format!("{} did not arrive whole", self.show(name)))
            .seen(format!("{bytes} bytes sent, {} there", there.map_or_else(|| "an unknown number".to_owned(), |n| n.to_string())))
            .help("run the command again"))
    }

    /// Everything directly below the prefix.
    async fn objects(&self) -> Result<Vec<Kept>> {
        let mut all = Vec::new();
        let mut from: Option<String> = None;
        loop {
            let mut action = ListObjectsV2::new(&self.store, Some(&self.credentials));
            action.with_prefix(self.prefix.as_str());
            if let Some(token) = &from {
                action.with_continuation_token(token.as_str());
            }
            let answer = self.ask("", self.client.get(action.sign(SIGNED))).await?;
            let text = answer.text().await.map_err(|e| self.failed("", &e.without_url()))?;
            let page = ListObjectsV2::parse_response(&text)
                .map_err(|e| Failure::failed(format!("{} answered what is no list: {e}", self.show(""))))?;
            all.extend(page.contents.into_iter().filter_map(|object| {
                let name = object.key.strip_prefix(&self.prefix)?.to_owned();
                (!name.is_empty() && !name.contains('/')).then(|| Kept { name, bytes: object.size.unwrap_or_default() })
            }));
            from = page.next_continuation_token;
            if from.is_none() {
                return Ok(all);
            }
        }
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let object = format!("{}{name}", self.prefix);
        let url = DeleteObject::new(&self.store, Some(&self.credentials), &object).sign(SIGNED);
        self.ask(name, self.client.delete(url)).await.map(drop)
    }

    /// Downloads into the file `to`.
    async fn download(&self, name: &str, to: &Path) -> Result<()> {
        let object = format!("{}{name}", self.prefix);
        let url = GetObject::new(&self.store, Some(&self.credentials), &object).sign(SIGNED);
        let mut body = self.ask(name, self.client.get(url)).await?.bytes_stream();
        let local = |e: std::io::Error| Failure::failed(format!("{} cannot be written: {e}", to.display()));
        let mut file = tokio::fs::File::create(to).await.map_err(local)?;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|e| self.failed(name, &e.without_url()))?;
            file.write_all(&piece).await.map_err(local)?;
        }
        file.sync_all().await.map_err(local)
    }

    async fn ask(&self, name: &str, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let answer = request.send().await.map_err(|e| self.failed(name, &e.without_url()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let said = answer.text().await.unwrap_or_default();
        let word = |tag: &str| said.split_once(&format!("<{tag}>"))?.1.split_once('<').map(|(word, _)| word.to_owned());
        let mut failure = Failure::failed(format!("{}: the store answered {status}", self.show(name)));
        for word in [word("Code"), word("Message")].into_iter().flatten() {
            failure = failure.seen(word);
        }
        Err(failure
            .help("is it the right store (AWS_ENDPOINT_URL), does the bucket exist, and may this key read, write, list and delete there?"))
    }

    fn failed(&self, name: &str, error: &reqwest::Error) -> Failure {
        let mut said = error.to_string();
        let mut next = std::error::Error::source(error);
        while let Some(cause) = next {
            said = format!("{said}: {cause}");
            next = cause.source();
        }
        Failure::failed(format!("{}: the store cannot be reached", self.show(name))).seen(said).help("is AWS_ENDPOINT_URL right?")
    }
}

impl Shelf for Bucket {
    fn put<'a>(&'a self, name: &'a str, file: &'a Path) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.upload(name, file))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Kept>>> {
        Box::pin(self.objects())
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.delete(name))
    }

    fn get<'a>(&'a self, name: &'a str, to: &'a Path) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.download(name, to))
    }

    fn show(&self, name: &str) -> String {
        format!("s3://{}/{}{name}", self.store.name(), self.prefix)
    }
}

#[cfg(test)]
#[path = "s3_tests.rs"]
mod tests;
