/** What came of a request: `code` is a word or a few, in kebab-case. */
export interface Outcome {
  readonly result: 'done' | 'refused' | 'failed'
  readonly code: string
}

export const done: Outcome = { result: 'done', code: 'ok' }
