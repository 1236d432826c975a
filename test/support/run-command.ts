import { execFile } from 'node:child_process'

export interface CommandResult {
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  /** Default one minute. */
  readonly withinMs?: number
  readonly env?: NodeJS.ProcessEnv
}

/** Runs a command to its end, for a minute at most. Rejects with what it printed when it does not exit with 0. */
export async function runCommand(
  command: string,
  args: readonly string[],
  { withinMs = 60_000, env = process.env }: CommandOptions = {},
): Promise<CommandResult> {
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>()
  const options = { timeout: withinMs, maxBuffer: 64 * 1_048_576, env, killSignal: 'SIGKILL' } as const
  execFile(command, args, options, (error, stdout, stderr) => {
    if (error === null) resolve({ stdout, stderr })
    else reject(new Error(`${command} failed: ${stderr || stdout || error.message}`, { cause: error }))
  })
  return await promise
}
