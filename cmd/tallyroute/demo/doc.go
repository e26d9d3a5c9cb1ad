// Package demo is the demonstration: two providers that answer within this process, and a
// rehearsal that checks that the client, the ledger, the quota and the bills agree.
package demo
