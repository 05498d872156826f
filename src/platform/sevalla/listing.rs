//! The poll: which apps are there, and what is live in each of those that are wanted.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use futures_util::stream::{self, StreamExt};

use super::super::http::{Ask, LIST_LIMIT, Method, Reply, Unreadable, Want};
use super::super::json::{each, parse};
use super::super::pace::is_for_acting;
use super::super::{Answered, Listed, PlatformError, operation};
use super::nature::{Kind, Nature};
use super::{AT_ONCE, PAGE, Sevalla, wire};
use crate::decision::observation::AppView;
use crate::ids::PlatformAppId;

/// Where a list ends for us: beyond this offset the API gives nothing, and `total` never says more.
const MOST: u64 = 10_000;
/// Apps of which a poll reads at most whether they are put to sleep: once each, and no list says it.
const DETAILS: usize = 20;
/// Pages read at most: an end to a list that has none.
const PAGES: u32 = 200;

/// What is looked for, and what was found.
struct Search<'a> {
    left: HashSet<&'a PlatformAppId>,
    found: Vec<(PlatformAppId, Nature)>,
    /// Nothing was passed over, so what was not found is not there.
    is_whole: bool,
    pages: u32,
}

impl Sevalla {
    /// A list says neither what is live nor what runs, so each wanted app costs one read more.
    pub(super) async fn list(&self, wanted: &[PlatformAppId]) -> Result<Answered<Listed>, PlatformError> {
        let mut search =
            Search { left: wanted.iter().collect(), found: Vec::new(), is_whole: true, pages: 0 };
        let first = self.scan(Kind::Application, &mut search).await?;
        if !search.left.is_empty()
            && let Err(error) = self.scan(Kind::StaticSite, &mut search).await
        {
            tracing::debug!("failed to {error}");
            search.is_whole = false;
        }
        let Search { found, is_whole, pages, .. } = search;
        let reads = pages.saturating_add(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let most = if is_for_acting(self.http.budget()) { 0 } else { DETAILS };
        let mut left = most;
        let views: Vec<_> = found
            .into_iter()
            .map(|(app, nature)| {
                let asks = left > 0 && nature.kind == Kind::Application && self.wants_sleep(&app);
                left -= usize::from(asks);
                self.listed(app, nature, asks)
            })
            .collect();
        let asked = u32::try_from(most - left).unwrap_or(u32::MAX);
        self.reads.store(reads.saturating_add(asked), Ordering::Relaxed);
        let apps = stream::iter(views).buffered(AT_ONCE).collect().await;
        Ok(Answered { value: Listed { apps, is_whole }, status: first.status, request_id: first.request_id })
    }

    async fn listed(
        &self,
        app: PlatformAppId,
        mut nature: Nature,
        asks: bool,
    ) -> (PlatformAppId, Result<AppView, PlatformError>) {
        if asks {
            match self.detail(&app, nature.kind).await {
                Ok(detail) => nature = self.learn(&app, nature.kind, &detail.value),
                // It is not asked at each poll: whoever reads it next learns it. Until then it may sleep.
                Err(_) => self.could_not_tell(&app),
            }
        }
        let read = self.newest(&app, nature.kind).await;
        if matches!(read, Err(PlatformError::NotFound)) {
            self.forget(&app);
        }
        let view = read.map(|answered| answered.value.view(nature));
        (app, view)
    }

    /// Reads pages until everything was found. Fails only where the first one does.
    async fn scan(&self, kind: Kind, search: &mut Search<'_>) -> Result<Answered<()>, PlatformError> {
        let mut answered = None;
        let mut offset = 0;
        let mut announced = None;
        for _ in 0..PAGES {
            search.pages += 1;
            let page = match (self.page(kind, offset).await, answered) {
                (Ok(page), _) => page,
                (Err(error), None) => return Err(error),
                (Err(error), Some(before)) => {
                    tracing::debug!("failed to {error}");
                    search.is_whole = false;
                    return Ok(before);
                }
            };
            let Answered { value: Page { apps, size, total }, status, request_id } = page;
            search.is_whole &= apps.len() as u64 == size;
            for app in apps {
                let id = PlatformAppId::from(app.id.as_str());
                if search.left.remove(&id) {
                    let nature = self.learn(&id, kind, &app);
                    search.found.push((id, nature));
                }
            }
            offset += size;
            // The total of one page on another means that apps came or went meanwhile, and that one may have slipped from
            // the page still to be read to one that was read.
            let is_steady = total.is_some() && total == *announced.get_or_insert(total);
            let is_all = is_steady && total == Some(offset) && offset < MOST;
            let is_last = total.map_or(size < u64::from(PAGE), |total| offset >= total);
            let is_end = is_last || size == 0 || offset > MOST;
            let done = Answered { value: (), status, request_id };
            if is_end || search.left.is_empty() {
                search.is_whole &= is_all;
                return Ok(done);
            }
            answered = Some(done);
        }
        Err(PlatformError::Ambiguous(format!(
            "the list of {} goes on after {PAGES} pages",
            kind.collection()
        )))
    }

    async fn page(&self, kind: Kind, offset: u64) -> Result<Answered<Page>, PlatformError> {
        let ask = Ask {
            operation: operation::LIST_APPS,
            method: Method::Get,
            path: &[kind.collection()],
            query: &[("limit", PAGE.to_string()), ("offset", offset.to_string())],
            want: Want::Body(LIST_LIMIT),
        };
        self.http.call(ask, read).await
    }
}

/// A page of apps.
struct Page {
    apps: Vec<wire::App>,
    /// How many it had, readable or not.
    size: u64,
    total: Option<u64>,
}

fn read(reply: &Reply) -> Result<Page, Unreadable> {
    let wire::Page { data, total } = parse(reply)?;
    let apps = each(&data, "app", |app: wire::App| (!app.id.is_empty()).then_some(app));
    Ok(Page { apps, size: data.len() as u64, total })
}
