import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

import { AgentError } from '../../agent/lib/errors.ts'

const maxOutputBytes = 64 * 1024 * 1024
const withinMs = 900_000

export interface ToolOptions {
  readonly cwd?: string
  /** Over the environment of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** What to do when the tool is not there or fails. */
  readonly hint: string
}

/** Resolves with what the tool printed; throws with its complaint and the hint when it fails. */
export async function runTool(tool: string, args: readonly string[], options: ToolOptions): Promise<string> {
  const { cwd, env = {}, hint } = options
  try {
    const { stdout } = await promisify(execFile)(tool, args, {
      cwd,
      env: { ...process.env, ...env },
      maxBuffer: maxOutputBytes,
      timeout: withinMs,
    })
    return stdout
  } catch (cause) {
    const said = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : ''
    throw new AgentError(`${tool} ${args[0] ?? ''} failed${said === '' ? '' : `: ${said}`}`, { hint, cause })
  }
}
