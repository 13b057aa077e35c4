//! Thin wrappers over the socket calls the engine needs, and clocks.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::RawFd;

#[inline]
fn clock(id: libc::clockid_t) -> i64 {
    let mut t: libc::timespec = unsafe { std::mem::zeroed() };
    unsafe { libc::clock_gettime(id, &mut t) };
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}
#[inline]
pub fn mono() -> i64 {
    clock(libc::CLOCK_MONOTONIC)
}
#[inline]
pub fn real() -> i64 {
    clock(libc::CLOCK_REALTIME)
}
pub fn process_cpu() -> i64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}
pub fn thread_cpu() -> i64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}
/// CPU time of another process in ns (all threads, also ended ones).
pub fn pid_cpu(pid: i32) -> Option<i64> {
    let mut id: libc::clockid_t = 0;
    if unsafe { libc::clock_getcpuclockid(pid, &mut id) } != 0 {
        return None;
    }
    let mut t: libc::timespec = unsafe { std::mem::zeroed() };
    if unsafe { libc::clock_gettime(id, &mut t) } != 0 {
        return None;
    }
    Some(t.tv_sec * 1_000_000_000 + t.tv_nsec)
}

pub fn sleep_until(mono_ns: i64) {
    let t = libc::timespec { tv_sec: mono_ns / 1_000_000_000, tv_nsec: mono_ns % 1_000_000_000 };
    unsafe {
        while libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &t,
            std::ptr::null_mut(),
        ) == libc::EINTR
        {}
    }
}

pub fn to_sa(a: SocketAddrV4) -> libc::sockaddr_in {
    let mut s: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    s.sin_family = libc::AF_INET as u16;
    s.sin_port = a.port().to_be();
    s.sin_addr.s_addr = u32::from_ne_bytes(a.ip().octets());
    s
}
pub fn from_sa(s: &libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(s.sin_addr.s_addr.to_ne_bytes()), u16::from_be(s.sin_port))
}

pub fn setopt(fd: RawFd, level: i32, opt: i32, v: i32) -> bool {
    unsafe { libc::setsockopt(fd, level, opt, &v as *const i32 as *const libc::c_void, 4) == 0 }
}

/// Non-blocking UDP socket bound to `a` (port 0: any).
pub fn udp(a: SocketAddrV4, rcvbuf: i32) -> std::io::Result<RawFd> {
    unsafe {
        let fd = libc::socket(
            libc::AF_INET,
            libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        );
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        if rcvbuf > 0 && !setopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, rcvbuf) {
            setopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, rcvbuf);
        }
        let s = to_sa(a);
        if libc::bind(fd, &s as *const _ as *const libc::sockaddr, size_of_val(&s) as u32) != 0 {
            let e = std::io::Error::last_os_error();
            libc::close(fd);
            return Err(e);
        }
        Ok(fd)
    }
}

pub fn local(fd: RawFd) -> SocketAddrV4 {
    unsafe {
        let mut s: libc::sockaddr_in = std::mem::zeroed();
        let mut l = size_of_val(&s) as u32;
        libc::getsockname(fd, &mut s as *mut _ as *mut libc::sockaddr, &mut l);
        from_sa(&s)
    }
}

pub fn connect(fd: RawFd, a: SocketAddrV4) -> bool {
    let s = to_sa(a);
    unsafe {
        libc::connect(fd, &s as *const _ as *const libc::sockaddr, size_of_val(&s) as u32) == 0
    }
}

pub fn disconnect(fd: RawFd) {
    unsafe {
        let mut s: libc::sockaddr = std::mem::zeroed();
        s.sa_family = libc::AF_UNSPEC as u16;
        libc::connect(fd, &s, size_of_val(&s) as u32);
    }
}

/// bytes sent or -errno
#[inline]
pub fn send(fd: RawFd, b: &[u8]) -> isize {
    let r = unsafe {
        libc::send(fd, b.as_ptr() as *const _, b.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    if r < 0 { -(errno() as isize) } else { r }
}
#[inline]
pub fn send_to(fd: RawFd, b: &[u8], sa: &libc::sockaddr_in) -> isize {
    let r = unsafe {
        libc::sendto(
            fd,
            b.as_ptr() as *const _,
            b.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            sa as *const _ as *const libc::sockaddr,
            size_of::<libc::sockaddr_in>() as u32,
        )
    };
    if r < 0 { -(errno() as isize) } else { r }
}
#[inline]
pub fn errno() -> i32 {
    unsafe { *libc::__errno_location() }
}

#[repr(align(8))]
#[derive(Clone, Copy)]
struct Ctl([u8; 64]);

pub const BATCH: usize = 8;
const SLOT: usize = 4096;

/// Receive buffers with kernel receive timestamps, for recvmmsg.
pub struct RecvCtx {
    buf: Vec<u8>,
    ctl: Box<[Ctl; BATCH]>,
    name: Box<[libc::sockaddr_in; BATCH]>,
    iov: Box<[libc::iovec; BATCH]>,
    msg: Box<[libc::mmsghdr; BATCH]>,
}

impl RecvCtx {
    pub fn new() -> Self {
        let mut c = RecvCtx {
            buf: vec![0; SLOT * BATCH],
            ctl: Box::new([Ctl([0; 64]); BATCH]),
            name: Box::new([unsafe { std::mem::zeroed() }; BATCH]),
            iov: Box::new([libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH]),
            msg: Box::new([unsafe { std::mem::zeroed() }; BATCH]),
        };
        for i in 0..BATCH {
            c.iov[i].iov_base = unsafe { c.buf.as_mut_ptr().add(i * SLOT) } as *mut _;
            let m = &mut c.msg[i].msg_hdr;
            m.msg_iov = &mut c.iov[i];
            m.msg_iovlen = 1;
            m.msg_control = c.ctl[i].0.as_mut_ptr() as *mut _;
            m.msg_name = &mut c.name[i] as *mut _ as *mut _;
        }
        c
    }
    /// Take up to BATCH packets, at most `want` octets of each. Err: errno such as ECONNREFUSED.
    #[inline]
    pub fn recv(&mut self, fd: RawFd, want: usize) -> Result<usize, i32> {
        for i in 0..BATCH {
            self.iov[i].iov_len = want;
            let m = &mut self.msg[i].msg_hdr;
            m.msg_controllen = 64 as _;
            m.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
        }
        let n = unsafe {
            libc::recvmmsg(
                fd,
                self.msg.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                std::ptr::null_mut(),
            )
        };
        if n < 0 {
            let e = errno();
            if e == libc::EAGAIN || e == libc::EINTR {
                return Ok(0);
            }
            return Err(e);
        }
        Ok(n as usize)
    }
    /// (length of the datagram, kernel arrival time in CLOCK_REALTIME ns or 0)
    #[inline]
    pub fn got(&self, i: usize) -> (usize, i64) {
        let m = &self.msg[i];
        let mut ts = 0;
        unsafe {
            let mut c = libc::CMSG_FIRSTHDR(&m.msg_hdr);
            while !c.is_null() {
                if (*c).cmsg_level == libc::SOL_SOCKET && (*c).cmsg_type == libc::SCM_TIMESTAMPNS {
                    let t = std::ptr::read_unaligned(libc::CMSG_DATA(c) as *const libc::timespec);
                    ts = t.tv_sec * 1_000_000_000 + t.tv_nsec;
                }
                c = libc::CMSG_NXTHDR(&m.msg_hdr, c);
            }
        }
        (m.msg_len as usize, ts)
    }
    #[inline]
    pub fn data(&self, i: usize, len: usize) -> &[u8] {
        &self.buf[i * SLOT..i * SLOT + len]
    }
    pub fn from(&self, i: usize) -> SocketAddrV4 {
        from_sa(&self.name[i])
    }
}

/// poll with nanosecond resolution
pub fn ppoll_in(fd: RawFd, timeout_ns: i64) -> bool {
    let mut p = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let t = timeout_ns.max(0);
    let ts = libc::timespec { tv_sec: t / 1_000_000_000, tv_nsec: t % 1_000_000_000 };
    unsafe { libc::ppoll(&mut p, 1, &ts, std::ptr::null()) > 0 }
}

/// Raise RLIMIT_NOFILE so that `n` descriptors fit.
pub fn raise_nofile(n: u64) -> Result<(), String> {
    unsafe {
        let mut r: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        if r.rlim_cur >= n {
            return Ok(());
        }
        let mut w = libc::rlimit { rlim_cur: n, rlim_max: r.rlim_max.max(n) };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &w) == 0 {
            return Ok(());
        }
        w.rlim_cur = r.rlim_max;
        w.rlim_max = r.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &w);
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut r);
        if r.rlim_cur >= n {
            Ok(())
        } else {
            Err(format!("needs {n} file descriptors, the limit is {}", r.rlim_cur))
        }
    }
}

/// Raise the scheduling priority of the calling thread; false when not permitted.
pub fn realtime(prio: i32) -> bool {
    let p = libc::sched_param { sched_priority: prio };
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &p) == 0 }
}

pub fn set_cpus(list: &[usize]) -> bool {
    unsafe {
        let mut s: libc::cpu_set_t = std::mem::zeroed();
        for c in list {
            libc::CPU_SET(*c, &mut s);
        }
        libc::sched_setaffinity(0, size_of_val(&s), &s) == 0
    }
}

/// Wake-up precision of the calling thread.
pub fn small_timer_slack() {
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1000usize, 0, 0, 0);
    }
}
