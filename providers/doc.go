// Package providers talks to one upstream at a time: what a target is, what an
// adapter must do, and the one client that touches the network. Which target is
// tried, and what it costs, is decided elsewhere.
package providers
