//! Routes that ask: one POST for each question. Looking up, connecting, TLS and the answer share the question's time.

use bytes::Bytes;

use crate::bridge::{AskFault, Question, QuestionId};
use crate::post::{Client, Fault, Post};

/// Asks endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Asker(pub(crate) Client);

impl Asker {
    /// Asks, and gives up in time.
    pub(crate) async fn ask(self, question: Question) -> (QuestionId, Result<Bytes, AskFault>) {
        let (id, deadline) = (question.id, question.deadline);
        let answer = tokio::time::timeout(deadline, self.exchange(question)).await;
        (id, answer.unwrap_or(Err(AskFault::Timeout)))
    }

    async fn exchange(&self, question: Question) -> Result<Bytes, AskFault> {
        let Question { url, headers, body, answer_size, .. } = question;
        let answer = self.0.post(Post { url, headers, body, answer_size }).await?;
        match (answer.is_success(), answer.is_whole) {
            (false, _) => Err(AskFault::Status(answer.status)),
            (true, false) => Err(AskFault::TooLong),
            (true, true) => Ok(answer.body),
        }
    }
}

impl From<Fault> for AskFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::HostNotFound => Self::HostNotFound,
            Fault::NotAllowed(address) => Self::NotAllowed(address),
            Fault::Unreachable(why) => Self::Unreachable(why),
            Fault::Tls(why) => Self::Tls(why),
            Fault::Broken(why) => Self::Broken(why),
        }
    }
}
