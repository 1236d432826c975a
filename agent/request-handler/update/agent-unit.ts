import { runProgram } from '../run-program.ts'
import type { UnitState } from './failed-starts.ts'

const agentUnit = 'panorama-agent.service'

interface UnitOptions {
  readonly systemctl: string
  readonly print: (line: string) => void
}

const withinMs = 90_000
const longestText = 200

/** The agent's unit, as systemctl(1) tells of it and commands it. */
export class AgentUnit {
  readonly #options: UnitOptions

  constructor(options: UnitOptions) {
    this.#options = options
  }

  /** Undefined while systemd does not answer. `text` is what the agent says of itself. */
  async state(): Promise<(UnitState & { readonly text: string }) | undefined> {
    const lines: string[] = []
    const fault = await this.#call(['show', '--property=ActiveState,NRestarts,StatusText', agentUnit], (line) => {
      lines.push(line)
    })
    if (fault !== undefined) return undefined
    const value = (name: string): string =>
      lines.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1) ?? ''
    const text = value('StatusText').slice(0, longestText)
    return { active: value('ActiveState'), restarts: Number(value('NRestarts')), text }
  }

  /** Starts it where it does not run. */
  async start(): Promise<void> {
    await this.#call(['reset-failed', agentUnit])
    await this.#call(['start', agentUnit])
  }

  /** After units have changed. */
  async reload(): Promise<void> {
    await this.#call(['daemon-reload'])
  }

  async restart(): Promise<void> {
    await this.reload()
    await this.#call(['reset-failed', agentUnit])
    await this.#call(['restart', agentUnit])
  }

  async #call(args: readonly string[], onLine?: (line: string) => void): Promise<string | undefined> {
    const { systemctl: file, print } = this.#options
    const toJournal = (line: string): void => {
      print(`systemctl: ${line}`)
    }
    return await runProgram({ file, args, withinMs, onLine: onLine ?? toJournal })
  }
}
