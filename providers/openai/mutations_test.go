package openai_test

import (
	"testing"

	"tallyroute/providers/openai"
	"tallyroute/providers/providertest"
)

// A change that leaves the meaning of what a provider says alone does not change what its
// client gets.
func TestMutationsOfRecordings(t *testing.T) {
	providertest.Mutations(t, openai.New(), func(c *providertest.Recorded) bool { return c.Family == "openai-chat" })
}
