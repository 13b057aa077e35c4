//! The messages of RFC 4475 and RFC 5118 by the names that the RFCs give them; their text is not here.

use crate::outcome::Outcome::{Dropped, Refused, Understood, Waits};
use crate::outcome::{ANYONE, BAD, CALL, Case, NOT_SERVED, Outcome, STRAY, UNKNOWN};

const fn case(file: &'static str, outcome: Outcome) -> Case {
    both(file, outcome, outcome)
}

const fn both(file: &'static str, udp: Outcome, tcp: Outcome) -> Case {
    Case { file, trouble: "", udp, tcp, seen: &[] }
}

/// In the order of the RFCs.
pub(crate) const CASES: &[Case] = &[
    both("wsinv", CALL, CALL),
    case("intmeth", UNKNOWN),
    case("esc01", CALL),
    case("escnull", NOT_SERVED),
    case("esc02", UNKNOWN),
    case("lwsdisp", ANYONE),
    case("longreq", CALL),
    case("dblreq", NOT_SERVED),
    case("semiuri", ANYONE),
    case("transports", ANYONE),
    case("mpart01", NOT_SERVED),
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
    case("lwsstart", CALL),
    case("trws", ANYONE),
    case("escruri", BAD),
    case("baddate", CALL),
    case("regbadct", Understood(&[400, 405, 501])),
    case("badaspec", ANYONE),
    case("baddn", ANYONE),
    case("badvers", Refused(505)),
    case("mismatch01", BAD),
    case("mismatch02", BAD),
    case("bigcode", Dropped),
    case("badbranch", ANYONE),
    both("insuf", BAD, BAD),
    case("unkscm", Understood(&[416])),
    case("novelsc", Understood(&[416])),
    case("unksm2", NOT_SERVED),
    case("bext01", Understood(&[420])),
    case("invut", Understood(&[415])),
    case("regaut01", NOT_SERVED),
    case("multi01", BAD),
    case("mcl01", BAD),
    case("bcast", STRAY),
    case("zeromf", Understood(&[200, 404, 480, 483])),
    case("cparam01", NOT_SERVED),
    case("cparam02", NOT_SERVED),
    case("regescrt", NOT_SERVED),
    case("sdp01", Understood(&[200, 404, 406, 480, 488])),
    both("inv2543", CALL, BAD),
    case("v6_good", NOT_SERVED),
    case("v6_bad", BAD),
    case("v6_portamb", NOT_SERVED),
    case("v6_portunamb", NOT_SERVED),
    case("v6_viadelim", Understood(&[481])),
    case("v6_vianodelim", ANYONE),
    case("v6_insdp", CALL),
    case("v6_multhdr", Understood(&[481])),
    case("v6_multsdp", CALL),
    case("v6_mapped", CALL),
    case("v6_colons2", ANYONE),
    case("v6_colons3", ANYONE),
];
