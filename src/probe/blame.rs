//! Whose fault an error is: the app's, or this host's.

use std::error::Error;
use std::io;

use rustix::io::Errno;

use super::resolve::LookupError;
use crate::decision::sample::{BlindCause, Failure, SampleResult};

/// Errors that say that this host could not send the probe.
const HOST_AT_FAULT: [Errno; 10] = [
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOMEM,
    Errno::NOBUFS,
    Errno::ADDRNOTAVAIL,
    Errno::NETUNREACH,
    Errno::NETDOWN,
    Errno::ACCESS,
    Errno::PERM,
    // Without IPv6 in the kernel there is no such socket.
    Errno::AFNOSUPPORT,
];

/// Errors that say that nothing was sent to the address, since there is no way to it from here.
const NO_WAY: [Errno; 7] = [
    Errno::NETUNREACH,
    Errno::HOSTUNREACH,
    Errno::NETDOWN,
    Errno::ADDRNOTAVAIL,
    Errno::AFNOSUPPORT,
    Errno::ACCESS,
    Errno::PERM,
];

/// Whose fault it is that a talk broke off, read from the types along an error's chain of causes and never from their text.
pub(super) fn blame(error: &(dyn Error + 'static)) -> SampleResult {
    let mut cause = Some(error);
    while let Some(error_here) = cause {
        if error_here.is::<rustls::Error>() {
            return SampleResult::Bad(Failure::Tls);
        }
        let io = error_here.downcast_ref::<io::Error>();
        if let Some(result) = io.and_then(|io| blame_io(io, false)) {
            return result;
        }
        // An io::Error that wraps another error skips it in `source`.
        cause = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error_here.source(),
        };
    }
    SampleResult::Bad(Failure::Protocol)
}

pub(super) fn blame_lookup(error: &LookupError) -> SampleResult {
    match error {
        LookupError::Busy => SampleResult::Unknown(BlindCause::Host),
        LookupError::Failed(io) if is_host_at_fault(io) => SampleResult::Unknown(BlindCause::Host),
        LookupError::Failed(_) => SampleResult::Bad(Failure::Dns),
    }
}

/// None when the error's kind alone does not tell.
pub(super) fn blame_io(error: &io::Error, securing: bool) -> Option<SampleResult> {
    if is_host_at_fault(error) {
        return Some(SampleResult::Unknown(BlindCause::Host));
    }
    match error.kind() {
        // The kernel gave up on the connection before the probe did.
        io::ErrorKind::TimedOut => Some(SampleResult::Bad(Failure::Timeout)),
        // A connection that was there and went away before it was secured.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            if securing =>
        {
            Some(SampleResult::Bad(Failure::Tls))
        }
        _ => None,
    }
}

/// Whether there is no way to an address from here, so that it may be one that only others can reach.
pub(super) fn has_no_way(error: &io::Error) -> bool {
    is_one_of(error, &NO_WAY)
}

fn is_host_at_fault(error: &io::Error) -> bool {
    is_one_of(error, &HOST_AT_FAULT)
}

fn is_one_of(error: &io::Error, errnos: &[Errno]) -> bool {
    error.raw_os_error().is_some_and(|code| errnos.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn errors_of_this_host_are_nobody_elses_fault() {
        for errno in HOST_AT_FAULT {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(blame_io(&error, false), Some(SampleResult::Unknown(BlindCause::Host)), "{error}");
            let lookup = LookupError::Failed(Arc::new(error));
            assert_eq!(blame_lookup(&lookup), SampleResult::Unknown(BlindCause::Host));
        }
        for errno in [Errno::CONNREFUSED, Errno::HOSTUNREACH] {
            assert_eq!(blame_io(&io::Error::from_raw_os_error(errno.raw_os_error()), true), None);
        }
    }
}
