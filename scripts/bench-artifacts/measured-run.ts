import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'

export interface Measured {
  readonly wallSeconds: number
  /** Of the command and everything that it started. */
  readonly cpuSeconds: number
  /** The sum of the peaks of the processes. */
  readonly peakMiB: number
}

const pollMs = 40

/** Runs a shell command to its end and measures it. Rejects with what it printed when it does not exit with 0. */
export async function measuredRun(command: string, env: Readonly<Record<string, string>> = {}): Promise<Measured> {
  const script = `TIMEFORMAT='@times %R %U %S'; time { ${command} ; }`
  const child = spawn('bash', ['-c', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...plainEnvironment(), ...env },
  })
  const peaks = new Map<number, number>()
  const timer = setInterval(() => {
    notePeaks(child.pid ?? 0, peaks).catch(() => undefined)
  }, pollMs)
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), exited])
  clearInterval(timer)
  if (code !== 0) throw new Error(`${command} ended with ${String(code)}: ${(stderr || stdout).slice(-2_000)}`)
  const [, wall = '', user = '', system = ''] = /@times (\S+) (\S+) (\S+)/.exec(stderr) ?? []
  return {
    wallSeconds: Number(wall),
    cpuSeconds: Number(user) + Number(system),
    peakMiB: [...peaks.values()].reduce((sum, kib) => sum + kib, 0) / 1024,
  }
}

/** Without settings of the machine's own for what is compared. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(AWS|RCLONE)_/.test(name)))
}

/** Of everything below the shell, which is small itself. */
async function notePeaks(pid: number, peaks: Map<number, number>): Promise<void> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  for (const child of children.split(' ').map(Number)) {
    if (child === 0) continue
    const status = await readFile(`/proc/${child}/status`, 'utf8').catch(() => '')
    const peakKib = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0)
    peaks.set(child, Math.max(peaks.get(child) ?? 0, peakKib))
    await notePeaks(child, peaks).catch(() => undefined)
  }
}
