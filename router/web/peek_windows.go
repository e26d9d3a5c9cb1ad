package web

import "net"

// hasCome cannot tell on this platform.
func hasCome(net.Conn) bool { return false }
