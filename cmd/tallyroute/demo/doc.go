// Package demo is the demonstration: two providers that answer in this process, and
// a rehearsal that holds what everybody says against each other.
package demo
