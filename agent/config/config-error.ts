import { AgentError } from '../lib/errors.ts'

export interface ConfigFault {
  /** Where in the file: `artifacts[0].prefix`. */
  readonly path: string
  readonly message: string
  /** What to do about it, where that is not to mend the file. */
  readonly hint?: string
}

/** The configuration file cannot be used. The message lists every fault at once, each with its path. */
export class ConfigError extends AgentError {
  override readonly name = 'ConfigError'
  readonly faults: readonly ConfigFault[]

  constructor(file: string, faults: readonly ConfigFault[]) {
    const lines = faults.map(({ path, message }) => `  ${path === '' ? '(whole file)' : path}: ${message}`)
    super(`${file} has ${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}:\n${lines.join('\n')}`, {
      hint:
        faults.find((fault) => fault.hint !== undefined)?.hint ??
        'mend the file; agent.schema.json describes every field (in config/, installed in /usr/share/panorama-agent/)',
    })
    this.faults = faults
  }
}
