package billing

import (
	"context"
	"strings"
	"time"
)

// Persons is what the ledger has of end users. Rows that are posted have a random
// pseudonym in place of the name that a client sent; the pseudonym's name is kept apart
// until it is erased, and reports show it. Rows from before there were pseudonyms have the
// name, which reports replace once it is erased.
type Persons interface {
	// PersonRows calls each with the rows of an end user, named or by pseudonym, in the
	// order of time and as they are stored.
	PersonRows(ctx context.Context, name string, each func(Spend) error) error
	// ForgetRequests takes addresses and programs out of the record of access, and removes
	// kept responses.
	ForgetRequests(ctx context.Context, r ForgottenRequests) (Traces, error)
	// ErasePerson removes the name of an end user. Rows that are posted after it has
	// returned, and those that are posted meanwhile, have another pseudonym or one
	// without a name. The notes get the pseudonym as their object.
	ErasePerson(ctx context.Context, e PersonErasure) (Erased, error)
}

// ForgottenRequests are requests of one end user.
type ForgottenRequests struct {
	IDs      []string
	From, To time.Time // when they began
}

// Traces is how much there was of requests beside their rows.
type Traces struct{ Access, Responses int64 }

// PersonErasure is the name of an end user, or the pseudonym, that is to be erased.
type PersonErasure struct {
	Name  string
	Plain bool // there are rows from before pseudonyms, which have the name
	// Again is that rows have Name, which is a pseudonym: where nobody knows whose it is,
	// an erasure that was interrupted is done once more, and noted.
	Again bool
	Now   time.Time
	Notes []*Change // for the audit log
}

// Erased is what is left: the pseudonym of the rows.
type Erased struct {
	Pseudonym string
	Rejects   int64 // rows that wait to be booked, or did, which had the name
}

// A pseudonym is this and at least 74 random bits in hexadecimal.
const (
	pseudonymPrefix = "eu_"
	pseudonymLength = len(pseudonymPrefix) + 20
)

// IsPseudonym reports whether an end user in a row is a pseudonym.
func IsPseudonym(endUser string) bool {
	digits, ok := strings.CutPrefix(endUser, pseudonymPrefix)
	return ok && len(endUser) == pseudonymLength && strings.Trim(digits, "0123456789abcdef") == ""
}

// EndUserName is what rows call an end user whom a client names. A name that reads as a
// pseudonym, or as what reports call those without a name, gets a mark before it: it would
// be counted as somebody else's. So does one with marks before such a name.
func EndUserName(said string) string {
	name := CleanText(said)
	if plain := strings.TrimLeft(name, endUserMark); IsPseudonym(plain) || plain == NoneGroup || plain == ArchivedGroup {
		return endUserMark + name
	}
	return name
}

const endUserMark = "~"
