// Package agents proves that coding agents and SDKs, as their makers publish them, work
// with the router in front of upstreams of every wire format. Its tests run by "make
// proof-agents" alone: they install the clients into a temporary folder.
package agents
