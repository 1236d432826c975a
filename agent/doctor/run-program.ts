import { execFile } from 'node:child_process'

export interface ProgramResult {
  /** Undefined when it could not be started or was ended. */
  readonly exitCode: number | undefined
  /** Node's, such as ENOENT where there is no such program. */
  readonly errorCode: string | undefined
  readonly stdout: string
  readonly stderr: string
}

export type RunProgram = (file: string, args: readonly string[], signal: AbortSignal) => Promise<ProgramResult>

const withinMs = 5_000
const maxBytes = 1_048_576
const path = '/usr/sbin:/usr/bin:/sbin:/bin'

/** Runs a program of the system to its end, at most 5 s, in an environment of its own. Never rejects but on abort. */
export const runProgram: RunProgram = async (file, args, signal) => {
  signal.throwIfAborted()
  const { promise, resolve } = Promise.withResolvers<ProgramResult>()
  const options = {
    signal,
    timeout: withinMs,
    killSignal: 'SIGKILL',
    maxBuffer: maxBytes,
    env: { PATH: path, LC_ALL: 'C.UTF-8', SYSTEMD_COLORS: '0', SYSTEMD_PAGER: '' },
  } as const
  execFile(file, [...args], options, (error, stdout, stderr) => {
    const code = error?.code
    const exitCode = error === null ? 0 : typeof code === 'number' ? code : undefined
    resolve({ exitCode, errorCode: typeof code === 'string' ? code : undefined, stdout, stderr })
  })
  const result = await promise
  signal.throwIfAborted()
  return result
}
