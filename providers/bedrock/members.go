package bedrock

import (
	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/translate"
)

// members lists what Converse accepts beyond the OpenAI format. Sources: its reference, and
// the parameters of each family of models for what goes below additionalModelRequestFields.
// Two settings have many names there, and none of those is listed, because Converse's own
// member covers them: the limit on the output (max_tokens, max_completion_tokens,
// max_gen_len, max_tokens_to_sample, max_new_tokens, maxTokens, maxTokenCount), and the
// number of choices (n, num_generations, numResults).
func members() providers.Members {
	const extra = "additionalModelRequestFields."
	below := func(name string, inner ...string) providers.Line {
		names := []string{extra + name}
		for _, n := range inner {
			names = append(names, extra+name+"."+n)
		}
		return providers.Free.Of(names...)
	}
	return translate.Members(
		providers.Free.Of("requestMetadata", "additionalModelResponseFieldPaths", "top_k", "performanceConfig.latency=standard"),
		providers.Unknown.Of("performanceConfig.*", extra+"*", "thinking.*"),
		providers.Free.Of("thinking", "thinking.type", "thinking.budget_tokens", "thinking.display"),
		providers.Free.Of(extra+"top_k", extra+"topK", extra+"k", extra+"p", extra+"reasoning_effort", extra+"stop_sequences",
			extra+"temperature", extra+"top_p", extra+"inferenceConfig.topK", extra+"frequency_penalty", extra+"presence_penalty",
			extra+"seed", extra+"random_seed", extra+"safe_prompt", extra+"enable_thinking", extra+"anthropic_version"),
		// Reasoning is output, which is limited.
		below("thinking", "type", "budget_tokens", "display"), below("reasoning_config", "type", "budget_tokens"),
		below("reasoningConfig", "type", "maxReasoningEffort"), below("output_config", "effort", "format"),
		providers.Unknown.Of(extra+"inferenceConfig.*"),
		anthropic.Betas("anthropic_beta"), anthropic.Betas(extra+"anthropic_beta"),
		providers.Stored.Of("promptVariables"),
		providers.Charged.Of("guardrailConfig", "performanceConfig.latency=*", extra+"tools", extra+"connectors"),
		providers.Free.Of("tools.toolSpec", "tools.cachePoint"),
		// Of Nova's tools, the code interpreter has no known price.
		providers.PricedBy(providers.MeterGrounding, 0, "tools.systemTool.name=nova_grounding"),
		providers.Charged.Of("tools.systemTool.name=*"),
		providers.Unknown.Of("tools.systemTool.*"),
	)
}
