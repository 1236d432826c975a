import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** Has strace end a process at its nth call from now, counted by thread. It goes away with the process. */
export async function killAtCall(pid: number, calls: string, nth: number): Promise<void> {
  const inject = ['-e', `trace=${calls}`, '-e', `inject=${calls}:signal=KILL:when=${nth}`]
  const strace = spawn('strace', ['-f', '-o', '/dev/null', ...inject, '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  strace.stderr.setEncoding('utf8')
  const [text] = (await once(strace.stderr, 'data')) as [string]
  if (!text.includes('attached')) throw new Error(text)
}
