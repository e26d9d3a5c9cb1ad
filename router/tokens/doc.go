// Package tokens says how many tokens a request or an answer has: a bound that
// costs nothing, or a count by the model's own tokenizer. Counts are those of
// pkoukk/tiktoken-go with its vocabularies embedded; nothing is downloaded. The
// package knows no prices and no providers.
package tokens
