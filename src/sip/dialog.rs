//! Dialogs: RFC 3261 §12, and the table that finds them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::sip::digest::Account;
use crate::sip::endpoint::{ReferId, SessionId, SubscriptionId};
use crate::sip::headers::{CallId, Join, Name, NameAddr, Replaces, TargetDialog};
use crate::sip::layer::{Flow, Head, Source};
use crate::sip::{Message, Method, Uri};

/// What identifies a dialog on our side (RFC 3261 §12).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DialogId {
    /// Its Call-ID.
    pub call_id: CallId,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; empty if it follows RFC 2543 and sent none.
    pub remote_tag: String,
}

impl DialogId {
    /// The dialog that a request with this head is sent within.
    pub(super) fn of_request(head: &Head) -> Option<Self> {
        let (local_tag, remote_tag) = (head.to_tag.clone()?, head.from_tag.clone());
        Some(Self { call_id: head.call_id.clone(), local_tag, remote_tag })
    }

    /// The dialog that a request of ours is sent within.
    pub(super) fn of_sent(request: &Message) -> Option<Self> {
        let headers = &request.headers;
        Some(Self {
            call_id: headers.call_id().ok()?,
            local_tag: headers.from().ok()?.tag()?.to_owned(),
            remote_tag: headers.to().ok()?.tag()?.to_owned(),
        })
    }

    /// The dialog that a response to a request of ours makes or belongs to.
    pub(super) fn of_response(response: &Message) -> Option<Self> {
        let headers = &response.headers;
        Some(Self {
            call_id: headers.call_id().ok()?,
            local_tag: headers.from().ok()?.tag()?.to_owned(),
            remote_tag: headers.to().ok()?.tag().unwrap_or_default().to_owned(),
        })
    }
}

/// Who we are in the Contact of a dialog.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    /// User part; that of the settings if it is empty.
    pub user: String,
    /// Whether we are the focus of a conference (RFC 4579 §5.1): the Contact says `isfocus` (RFC 3840 §9).
    pub is_focus: bool,
}

impl Identity {
    /// A party like any other.
    pub fn party(user: impl Into<String>) -> Self {
        Self { user: user.into(), is_focus: false }
    }

    /// The focus of the conference that this user part names.
    pub fn focus(user: impl Into<String>) -> Self {
        Self { user: user.into(), is_focus: true }
    }
}

impl From<&Replaces> for DialogId {
    fn from(replaces: &Replaces) -> Self {
        let Replaces { call_id, to_tag, from_tag, .. } = replaces.clone();
        Self { call_id, local_tag: to_tag, remote_tag: from_tag }
    }
}

impl From<&Join> for DialogId {
    fn from(join: &Join) -> Self {
        let Join { call_id, to_tag, from_tag } = join.clone();
        Self { call_id, local_tag: to_tag, remote_tag: from_tag }
    }
}

impl From<&TargetDialog> for DialogId {
    fn from(target: &TargetDialog) -> Self {
        let TargetDialog { call_id, local_tag, remote_tag } = target.clone();
        Self { call_id, local_tag, remote_tag }
    }
}

/// The state that both ends of a dialog share, seen from ours.
#[derive(Clone, Debug)]
pub(super) struct Dialog {
    pub(super) id: DialogId,
    /// Our From in requests.
    local: Bytes,
    /// Our To in requests.
    remote: Bytes,
    local_sequence: u32,
    remote_sequence: Option<u32>,
    target: Uri,
    /// As they stand in Route headers.
    routes: Vec<NameAddr>,
    /// Our Contact.
    identity: Identity,
    /// Where the peer's last message came from.
    flow: Option<Flow>,
    /// What the peer knows us by, if it asks.
    pub(super) account: Option<Arc<Account>>,
}

/// A request came later than one that was sent after it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct OutOfOrder;

impl Dialog {
    /// The dialog that our answer with `local_tag` to this request makes (§12.1.1).
    ///
    /// `None` if the request has no Contact that requests can be sent to.
    pub(super) fn of_request(
        request: &Message,
        head: &Head,
        source: Source,
        local_tag: &str,
    ) -> Option<Self> {
        let headers = &request.headers;
        let local = headers.to().ok()?.with_tag(local_tag);
        let id = DialogId {
            call_id: head.call_id.clone(),
            local_tag: local_tag.to_owned(),
            remote_tag: head.from_tag.clone(),
        };
        let user = request.uri().and_then(Uri::user_plain);
        Some(Self {
            id,
            local: local.to_string().into(),
            remote: headers.first(&Name::From)?.clone(),
            local_sequence: 0,
            remote_sequence: Some(head.sequence),
            target: headers.contact().ok().filter(|contact| contact.uri.is_sip())?.uri,
            routes: headers.addresses(&Name::RecordRoute).collect::<Result<_, _>>().ok()?,
            identity: Identity::party(user.unwrap_or_default()),
            flow: Some(Flow::of_request(request, source)),
            account: None,
        })
    }

    /// The dialog that this response to our request makes (§12.1.2).
    ///
    /// A peer that forgot its Contact is reached where the request went.
    pub(super) fn of_response(
        request: &Message,
        response: &Message,
        flow: Option<Flow>,
        identity: &Identity,
    ) -> Option<Self> {
        let headers = &response.headers;
        let mut routes: Vec<NameAddr> =
            headers.addresses(&Name::RecordRoute).collect::<Result<_, _>>().ok()?;
        routes.reverse();
        Some(Self {
            id: DialogId::of_response(response)?,
            local: request.headers.first(&Name::From)?.clone(),
            remote: headers.first(&Name::To)?.clone(),
            local_sequence: request.headers.cseq().ok()?.number,
            remote_sequence: None,
            target: match headers.contact() {
                Ok(contact) => contact.uri,
                Err(_) => request.uri()?.clone(),
            },
            routes,
            identity: identity.clone(),
            flow,
            account: None,
        })
    }

    /// Where the peer is reached: its Contact.
    pub(super) fn target(&self) -> &Uri {
        &self.target
    }

    /// Who we are in our Contact.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Says otherwise who we are, from the next message on.
    pub(super) fn identify(&mut self, identity: Identity) {
        self.identity = identity;
    }

    /// Where the peer's last message came from.
    pub(super) fn flow(&self) -> Option<Flow> {
        self.flow
    }

    /// The next request within the dialog (§12.2.1.1): all headers but Via and Contact. The first Route is the next hop,
    /// also if that is a strict router.
    pub(super) fn request(&mut self, method: &Method) -> Message {
        let sequence = self.next_sequence();
        self.request_with_sequence(method, sequence)
    }

    /// The number of the next request of ours.
    pub(super) fn next_sequence(&mut self) -> u32 {
        self.local_sequence = self.local_sequence.saturating_add(1);
        self.local_sequence
    }

    /// The ACK for a 2xx to the INVITE with this sequence number (§13.2.2.4).
    pub(super) fn ack(&self, sequence: u32) -> Message {
        self.request_with_sequence(&Method::Ack, sequence)
    }

    /// Notes the sequence number of a request from the peer (§12.2.2).
    pub(super) fn note_sequence(&mut self, sequence: u32) -> Result<(), OutOfOrder> {
        if self.remote_sequence.is_some_and(|last| sequence < last) {
            return Err(OutOfOrder);
        }
        self.remote_sequence = Some(sequence);
        Ok(())
    }

    /// Takes the peer's new address from a target refresh request or its response (§12.2).
    pub(super) fn refresh_target(&mut self, message: &Message) {
        if let Ok(contact) = message.headers.contact() {
            self.target = contact.uri;
        }
    }

    fn request_with_sequence(&self, method: &Method, sequence: u32) -> Message {
        let mut message = Message::request(method.clone(), self.target.without_headers());
        let headers = &mut message.headers;
        for route in &self.routes {
            headers.push(Name::Route, route.to_string());
        }
        headers.push(Name::MaxForwards, "70");
        headers.push(Name::From, self.local.clone());
        headers.push(Name::To, self.remote.clone());
        headers.push(Name::CallId, self.id.call_id.as_bytes().clone());
        headers.push(Name::CSeq, format!("{sequence} {method}"));
        message
    }
}

/// All dialogs and who uses them (RFC 5057).
#[derive(Debug, Default)]
pub(super) struct Dialogs(BTreeMap<DialogId, Entry>);

/// A dialog and its usages.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) dialog: Dialog,
    /// The INVITE usage.
    pub(super) session: Option<SessionId>,
    /// The subscriptions that REFERs imply.
    pub(super) refers: BTreeSet<ReferId>,
    /// Those of SUBSCRIBE.
    pub(super) subscriptions: BTreeSet<SubscriptionId>,
}

impl Entry {
    fn new(dialog: Dialog) -> Self {
        let (refers, subscriptions) = (BTreeSet::new(), BTreeSet::new());
        Self { dialog, session: None, refers, subscriptions }
    }

    fn is_used(&self) -> bool {
        self.session.is_some() || !self.refers.is_empty() || !self.subscriptions.is_empty()
    }
}

impl Dialogs {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, id: &DialogId) -> Option<&Entry> {
        self.0.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &DialogId) -> Option<&mut Entry> {
        self.0.get_mut(id)
    }

    pub(super) fn dialog_mut(&mut self, id: &DialogId) -> Option<&mut Dialog> {
        self.0.get_mut(id).map(|entry| &mut entry.dialog)
    }

    /// Notes where a message within a dialog came from.
    pub(super) fn note_flow(&mut self, id: &DialogId, flow: Flow) {
        if let Some(dialog) = self.dialog_mut(id) {
            dialog.flow = Some(flow);
        }
    }

    /// Adds a dialog for a session, or replaces an early one by what the 2xx says.
    pub(super) fn insert_for_session(&mut self, dialog: Dialog, session: SessionId) -> DialogId {
        let id = dialog.id.clone();
        if let Some(entry) = self.0.get_mut(&id) {
            let remote_sequence = entry.dialog.remote_sequence;
            let local_sequence = entry.dialog.local_sequence.max(dialog.local_sequence);
            entry.dialog = Dialog { local_sequence, remote_sequence, ..dialog };
            entry.session = Some(session);
        } else {
            let entry = Entry { session: Some(session), ..Entry::new(dialog) };
            self.0.insert(id.clone(), entry);
        }
        id
    }

    /// Adds a dialog that a REFER outside of any made.
    pub(super) fn insert_for_refer(&mut self, dialog: Dialog, refer: ReferId) -> DialogId {
        let id = dialog.id.clone();
        let entry = Entry { refers: BTreeSet::from([refer]), ..Entry::new(dialog) };
        self.0.insert(id.clone(), entry);
        id
    }

    /// Adds a dialog that a SUBSCRIBE outside of any made.
    pub(super) fn insert_for_subscription(
        &mut self,
        dialog: Dialog,
        subscription: SubscriptionId,
    ) -> DialogId {
        let id = dialog.id.clone();
        let subscriptions = BTreeSet::from([subscription]);
        self.0.insert(id.clone(), Entry { subscriptions, ..Entry::new(dialog) });
        id
    }

    /// Ends the INVITE usage; the dialog lives on while a subscription does.
    pub(super) fn leave_session(&mut self, id: &DialogId) {
        if let Some(entry) = self.0.get_mut(id) {
            entry.session = None;
            self.forget_if_unused(id);
        }
    }

    /// Ends a subscription; the dialog lives on while something else uses it.
    pub(super) fn leave_refer(&mut self, id: &DialogId, refer: ReferId) {
        if let Some(entry) = self.0.get_mut(id) {
            entry.refers.remove(&refer);
            self.forget_if_unused(id);
        }
    }

    /// Ends a subscription of SUBSCRIBE; the dialog lives on while something else uses it.
    pub(super) fn leave_subscription(&mut self, id: &DialogId, subscription: SubscriptionId) {
        if let Some(entry) = self.0.get_mut(id) {
            entry.subscriptions.remove(&subscription);
            self.forget_if_unused(id);
        }
    }

    fn forget_if_unused(&mut self, id: &DialogId) {
        if self.0.get(id).is_some_and(|entry| !entry.is_used()) {
            self.0.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Limits;
    use crate::sip::transport::Transport;

    #[test]
    fn a_request_names_the_target_and_the_way_there() {
        let mut dialog = dialog("<sip:p1;lr>, <sip:p2;lr>");

        let bye = dialog.request(&Method::Bye);

        assert_eq!(bye.uri().unwrap().as_str(), "sip:bob@192.0.2.2:5070");
        assert_eq!(routes(&bye), ["<sip:p1;lr>", "<sip:p2;lr>"]);
    }

    #[test]
    fn requests_within_the_dialog_swap_the_sides_and_count() {
        let mut dialog = dialog("<sip:p1;lr>");

        let info = dialog.request(&Method::Info);
        let bye = dialog.request(&Method::Bye);

        assert_eq!(info.headers.from().unwrap().tag(), Some("ours"));
        assert_eq!(info.headers.to().unwrap().tag(), Some("theirs"));
        assert_eq!(info.headers.cseq().unwrap().number, 1);
        assert_eq!(bye.headers.cseq().unwrap().number, 2);
    }

    #[test]
    fn a_lower_sequence_number_is_out_of_order() {
        let mut dialog = dialog("<sip:p1;lr>");

        assert_eq!(dialog.note_sequence(7), Ok(()));
        assert_eq!(dialog.note_sequence(6), Err(OutOfOrder));
        assert_eq!(dialog.note_sequence(9), Ok(()));
    }

    fn routes(message: &Message) -> Vec<String> {
        message.headers.addresses(&Name::Route).map(|route| route.unwrap().to_string()).collect()
    }

    /// A dialog in which Bob called us over proxies.
    fn dialog(record_route: &str) -> Dialog {
        let invite = format!(
            "INVITE sip:us@192.0.2.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.2:5070;branch=z9hG4bK1\r\n\
             Record-Route: {record_route}\r\n\
             From: <sip:bob@example.com>;tag=theirs\r\n\
             To: <sip:us@example.com>\r\n\
             Call-ID: 1\r\n\
             CSeq: 7 INVITE\r\n\
             Contact: <sip:bob@192.0.2.2:5070>\r\n\r\n"
        );
        let invite = Message::parse(&Bytes::from(invite), &Limits::default()).unwrap();
        let peer = "192.0.2.2:5070".parse().unwrap();
        let source = Source { transport: Transport::Udp, peer, local: peer };
        Dialog::of_request(&invite, &Head::of(&invite).unwrap(), source, "ours").unwrap()
    }
}
