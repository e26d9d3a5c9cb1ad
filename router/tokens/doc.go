// Package tokens says how many tokens a request or an answer has: a bound that
// costs nothing, or a count by the model's own tokenizer. Counts are those of
// pkoukk/tiktoken-go, with which the tests compare them, by the vocabularies that
// its loader embeds; nothing is downloaded. The package knows no prices and no
// providers.
package tokens
