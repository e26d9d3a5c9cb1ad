// Package syslog sends messages by RFC 5424 over UDP, TCP or TLS.
package syslog
