// Package agents proves that coding agents and SDKs, as published by their makers, work
// with the router in front of upstreams of every wire format. Its tests run only under
// "make proof-agents", because they install the clients into a temporary folder.
package agents
