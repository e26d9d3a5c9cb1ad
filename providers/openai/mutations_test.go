package openai_test

import (
	"testing"

	"tallyroute/providers/openai"
	"tallyroute/providers/providertest"
)

// What changes nothing of what a provider says changes nothing of what its client gets.
func TestMutationsOfRecordings(t *testing.T) {
	providertest.Mutations(t, openai.New(), func(c *providertest.Recorded) bool { return c.Family == "openai-chat" })
}
