//! The messages of RFC 4475 and RFC 5118 by the names that the RFCs give them; their text is not here.

use crate::outcome::Outcome::{Dropped, Refused, Understood, Waits};
use crate::outcome::{BAD, Case, GONE, NO_USER, NOT_SERVED, OK, Outcome, STRAY};

const fn case(file: &'static str, outcome: Outcome) -> Case {
    both(file, outcome, outcome)
}

const fn both(file: &'static str, udp: Outcome, tcp: Outcome) -> Case {
    Case { file, trouble: "", udp, tcp, seen: &[] }
}

/// In the order of the RFCs.
pub(crate) const CASES: &[Case] = &[
    case("wsinv", GONE),
    case("intmeth", NOT_SERVED),
    case("esc01", Understood(Some(404))),
    case("escnull", NO_USER),
    case("esc02", NOT_SERVED),
    case("lwsdisp", OK),
    case("longreq", OK),
    case("dblreq", NO_USER),
    case("semiuri", OK),
    case("transports", OK),
    case("mpart01", Understood(Some(404))),
    case("unreason", STRAY),
    case("noreason", STRAY),
    case("badinv01", BAD),
    both("clerr", BAD, Waits),
    case("ncl", BAD),
    case("scalar02", BAD),
    case("scalarlg", Dropped),
    case("quotbal", BAD),
    case("ltgtruri", BAD),
    case("lwsruri", BAD),
    case("lwsstart", OK),
    case("trws", OK),
    case("escruri", BAD),
    case("baddate", OK),
    case("regbadct", NO_USER),
    case("badaspec", OK),
    case("baddn", OK),
    case("badvers", Refused(505)),
    case("mismatch01", BAD),
    case("mismatch02", BAD),
    case("bigcode", Dropped),
    case("badbranch", OK),
    case("insuf", BAD),
    case("unkscm", Understood(Some(416))),
    case("novelsc", Understood(Some(416))),
    case("unksm2", NO_USER),
    case("bext01", Understood(Some(420))),
    case("invut", Understood(Some(415))),
    case("regaut01", NO_USER),
    case("multi01", BAD),
    case("mcl01", BAD),
    case("bcast", STRAY),
    case("zeromf", OK),
    case("cparam01", NO_USER),
    case("cparam02", NO_USER),
    case("regescrt", NO_USER),
    case("sdp01", OK),
    // It has no Contact: nowhere to send the BYE (RFC 3261 §8.1.1.8).
    both("inv2543", Understood(Some(400)), BAD),
    case("v6_good", NO_USER),
    case("v6_bad", BAD),
    case("v6_portamb", NO_USER),
    case("v6_portunamb", NO_USER),
    case("v6_viadelim", GONE),
    case("v6_vianodelim", OK),
    case("v6_insdp", Understood(Some(488))),
    case("v6_multhdr", GONE),
    case("v6_multsdp", OK),
    case("v6_mapped", Understood(Some(488))),
    case("v6_colons2", OK),
    case("v6_colons3", OK),
];
