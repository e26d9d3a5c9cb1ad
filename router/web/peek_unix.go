//go:build unix

package web

import (
	"net"
	"syscall"
)

// hasCome reports whether a connection has data that has not been read yet.
func hasCome(c net.Conn) (come bool) {
	for {
		over, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = over.NetConn()
	}
	socket, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		come = err == nil && n > 0
	})
	return come && err == nil
}
