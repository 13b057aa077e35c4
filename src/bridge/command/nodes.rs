//! `/v1/nodes`: this one.

use api::model::{Node, NodeState, NodeWorker, Page, PageQuery};

use crate::bridge::{Bridge, Draining};
use crate::media::command::WorkerReport;

use super::page::{Wanted, page};
use super::{Answer, no_such};

impl Bridge {
    pub(super) fn api_list_nodes(&self, query: &PageQuery) -> Answer<Page<Node>> {
        let wanted = Wanted::of(query, &["ready", "draining"])?;
        let node = Some(self.node()).filter(|node| wanted.takes(true, &node.state));
        page(query, node.into_iter(), |node| node.id)
    }

    /// By id or name.
    pub(super) fn api_node(&self, name: &str) -> Answer<Node> {
        let node = self.node();
        let is_it = name == node.name || name.parse() == Ok(node.id);
        if is_it { Ok(node) } else { Err(no_such("node", name)) }
    }

    fn node(&self) -> Node {
        let ready = self.draining == Draining::No;
        Node {
            id: self.node,
            name: self.settings.node_name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: if ready { NodeState::Ready } else { NodeState::Draining },
            started_at: self.started.wall,
            uptime_s: self.now.saturating_duration_since(self.started.instant).as_secs(),
            legs: count(self.legs.len()),
            rooms: count(self.rooms.len()),
            calls: count(self.calls.len()),
            room_for_legs: if ready { count(self.room_for_legs()) } else { 0 },
            workers: self.node_workers(),
        }
    }

    fn node_workers(&self) -> Vec<NodeWorker> {
        let view = |(index, room): (usize, usize)| {
            let silent = WorkerReport::default();
            let totals = self.counters.worker_totals(index);
            let last = totals.map_or(&silent, |totals| &totals.last);
            NodeWorker {
                worker: count(index),
                legs: count(last.legs),
                mixes: count(last.mixes),
                busy: thousandths(last.busy),
                slack: thousandths(last.slack()),
                ticks: totals.map_or(0, |totals| totals.ticks),
                late_ticks: totals.map_or(0, |totals| totals.late_ticks),
                room_for_legs: count(room),
            }
        };
        self.capacity.rooms(self.now).enumerate().map(view).collect()
    }
}

/// More is not meant.
fn thousandths(share: f32) -> f32 {
    (share * 1000.0).round() / 1000.0
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
