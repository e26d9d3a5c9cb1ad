// Package blocks is what the formats of turns and content blocks share,
// Anthropic's and Bedrock's: a chat request read as turns of blocks, JSON written
// member by member, and answers written in the OpenAI format. What a block looks
// like at a provider is the adapter's.
package blocks
