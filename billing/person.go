package billing

import (
	"context"
	"strings"
	"time"
)

// Persons is what the ledger knows about end users. Rows are posted with a random
// pseudonym in place of the name that a client sent. The name behind the pseudonym is
// kept separately until it is erased, and reports show it. Rows that predate pseudonyms
// contain the name, which reports replace once it is erased.
type Persons interface {
	// PersonRows calls each with the rows of an end user, given by name or pseudonym, in
	// order of time and as stored.
	PersonRows(ctx context.Context, name string, each func(Spend) error) error
	// ForgetRequests removes addresses and client programs from the access log, and
	// deletes stored responses.
	ForgetRequests(ctx context.Context, r ForgottenRequests) (Traces, error)
	// ErasePerson removes the name of an end user. Rows posted during or after the call
	// get a different pseudonym, or one without a name. The notes get the pseudonym as
	// their object.
	ErasePerson(ctx context.Context, e PersonErasure) (Erased, error)
}

// ForgottenRequests are requests of one end user.
type ForgottenRequests struct {
	IDs      []string
	From, To time.Time // when they began
}

// Traces counts what requests left behind besides their rows.
type Traces struct{ Access, Responses int64 }

// PersonErasure specifies the name of an end user, or the pseudonym, to erase.
type PersonErasure struct {
	Name  string
	Plain bool // there are rows that predate pseudonyms and contain the name
	// Again means that rows contain Name, which is a pseudonym. If nobody knows whose it
	// is, an interrupted erasure is completed and recorded.
	Again bool
	Now   time.Time
	Notes []*Change // for the audit log
}

// Erased is what remains: the pseudonym in the rows.
type Erased struct {
	Pseudonym string
	Rejects   int64 // rows, waiting to be booked or already booked, that contained the name
}

// A pseudonym consists of this prefix and at least 74 random bits in hexadecimal.
const (
	pseudonymPrefix = "eu_"
	pseudonymLength = len(pseudonymPrefix) + 20
)

// IsPseudonym reports whether a row's end user is a pseudonym.
func IsPseudonym(endUser string) bool {
	digits, ok := strings.CutPrefix(endUser, pseudonymPrefix)
	return ok && len(endUser) == pseudonymLength && strings.Trim(digits, "0123456789abcdef") == ""
}

// EndUserName returns the name under which rows store an end user whom a client names. A name
// that looks like a pseudonym, or like the word that reports use for a missing name, gets a
// mark in front, so that it is not counted as somebody else's. So does such a name that has
// marks already.
func EndUserName(said string) string {
	name := CleanText(said)
	if plain := strings.TrimLeft(name, endUserMark); IsPseudonym(plain) || plain == NoneGroup || plain == ArchivedGroup {
		return endUserMark + name
	}
	return name
}

const endUserMark = "~"
