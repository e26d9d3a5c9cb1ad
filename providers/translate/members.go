package translate

import "tallyroute/providers"

// Members is the table of a format that is translated into: what it has no word for is
// not sent. Only tools are what they are, and files that the provider has.
func Members(lines ...providers.Line) providers.Members {
	return providers.NewMembers(
		providers.Unsent.Of("*", "tools.function.*", "tools.custom.*"),
		providers.Unknown.Of("tools.*"),
		providers.Stored.Of("reference", "messages.content.file.file_id"),
	).With(lines...)
}
