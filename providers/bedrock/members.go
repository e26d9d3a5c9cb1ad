package bedrock

import (
	"tallyroute/providers"
	"tallyroute/providers/anthropic"
	"tallyroute/providers/translate"
)

// members is what Converse takes beyond what the OpenAI format has words for. Sources:
// its reference, and the parameters of the families of models for what goes below
// additionalModelRequestFields.
func members() providers.Members {
	const extra = "additionalModelRequestFields."
	return translate.Members(
		providers.Free.Of("requestMetadata", "additionalModelResponseFieldPaths", "top_k", "performanceConfig.latency=standard"),
		providers.Unknown.Of("performanceConfig.*", extra+"*", "thinking.*"),
		providers.Free.Of("thinking", "thinking.type", "thinking.budget_tokens", "thinking.display"),
		providers.Free.Of(extra+"top_k", extra+"topK", extra+"thinking", extra+"reasoning_config", extra+"reasoningConfig",
			extra+"reasoning_effort", extra+"output_config", extra+"stop_sequences", extra+"temperature", extra+"top_p",
			extra+"inferenceConfig.topK", extra+"frequency_penalty", extra+"presence_penalty", extra+"seed", extra+"safe_prompt",
			extra+"enable_thinking", extra+"anthropic_version"),
		providers.Unknown.Of(extra+"inferenceConfig.*"),
		anthropic.Betas("anthropic_beta"), anthropic.Betas(extra+"anthropic_beta"),
		providers.Stored.Of("promptVariables"),
		providers.Refused.Of("guardrailConfig"),
		providers.Free.Of("tools.toolSpec", "tools.cachePoint"),
		providers.PricedBy(providers.MeterGrounding, 0, "tools.systemTool"),
	)
}
