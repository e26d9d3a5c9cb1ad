// The AI SDK of Vercel, with each of its three providers.
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai'
import { base, cancelled, expect, key, model, parameters, picture, refused } from './common.mjs'

const openai = createOpenAI({ baseURL: `${base}/v1`, apiKey: key })
const providers = {
  responses: (id) => openai.responses(id),
  chat: (id) => openai.chat(id),
  compatible: createOpenAICompatible({ name: 'tallyroute', baseURL: `${base}/v1`, apiKey: key, includeUsage: true }),
  messages: createAnthropic({ baseURL: `${base}/v1`, apiKey: key }),
}
const tools = { lookup: tool({ inputSchema: jsonSchema(parameters), execute: async ({ word }) => `found ${word}` }) }
const providerOptions = {
  openai: { store: false, include: ['reasoning.encrypted_content'], forceReasoning: true },
  anthropic: { thinking: { type: 'enabled', budgetTokens: 2048 } },
}

for (const [name, provider] of Object.entries(providers)) {
  const to = { model: provider(model), maxRetries: 0, providerOptions, onError: () => {} }
  for (const stream of [false, true]) {
    const text = async (more) => {
      if (!stream) return (await generateText({ ...to, ...more })).text
      let whole = ''
      const result = streamText({ ...to, ...more })
      for await (const part of result.fullStream) {
        if (part.type === 'error') throw part.error
        if (part.type === 'text-delta') whole += part.text
      }
      if (!((await result.usage).inputTokens > 0)) throw new Error('no usage')
      return whole
    }
    expect(`${name} chat`, await text({ prompt: 'say pong' }), 'pong from')
    const loop = await text({ prompt: 'use the tool [[loop]]', tools, stopWhen: stepCountIs(9) })
    // Chat completions have no place in this SDK for what a model must see again.
    expect(`${name} loop`, loop, name === 'chat' || name === 'compatible' ? '' : 'done after 10 results')
    const content = [{ type: 'text', text: '[[image]]' }, { type: 'image', image: Buffer.from(picture, 'base64') }]
    expect(`${name} image`, await text({ messages: [{ role: 'user', content }] }), 'images: 1')
  }
  await cancelled(name, (abortSignal) => streamText({ ...to, prompt: '[[slow]]', abortSignal }).textStream)
  await refused(name, () => generateText({ ...to, model: provider('nowhere'), prompt: 'x' }))
}
