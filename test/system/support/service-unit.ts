import { pollUntil } from './poll-until.ts'
import type { Container } from './container.ts'

export const unitName = 'panorama-agent.service'

/** The agent's unit in a container, as systemctl(1) and journalctl(1) tell of it. */
export class ServiceUnit {
  readonly #container: Container

  constructor(container: Container) {
    this.#container = container
  }

  /** The value of a property of the unit. */
  async property(name: string): Promise<string> {
    const { stdout } = await this.#container.run('systemctl', 'show', '--value', '--property', name, unitName)
    return stdout.trim()
  }

  /** The agent's process number in the container; 0 while none runs. */
  async mainPid(): Promise<number> {
    return Number(await this.property('MainPID'))
  }

  /** How often systemd restarted it by itself. */
  async restarts(): Promise<number> {
    return Number(await this.property('NRestarts'))
  }

  async untilActive(): Promise<void> {
    await pollUntil('the unit is active', async () => (await this.property('ActiveState')) === 'active', 60_000)
  }

  /** What the unit logged, and what systemd logged about it, since the journal began. */
  async journal(): Promise<string> {
    const { stdout } = await this.#container.run('journalctl', '--no-pager', '--output=short-precise', '-u', unitName)
    return stdout
  }

  /** Waits for a line of the journal; throws with the journal when it does not come. */
  async untilLogged(pattern: RegExp, withinMs = 60_000): Promise<void> {
    const isThere = async (): Promise<boolean> => pattern.test(await this.journal())
    await pollUntil(`${String(pattern)} in the journal`, isThere, withinMs).catch(async (cause: unknown) => {
      throw new Error(`${String(pattern)} is not in the journal:\n${await this.journal()}`, { cause })
    })
  }

  /** How many lines of the journal match. */
  async countLogged(pattern: RegExp): Promise<number> {
    return (await this.journal()).split('\n').filter((line) => pattern.test(line)).length
  }

  async send(signal: string): Promise<void> {
    await this.#container.run('systemctl', 'kill', '--kill-who=main', `--signal=${signal}`, unitName)
  }

  async daemonReload(): Promise<void> {
    await this.#container.run('systemctl', 'daemon-reload')
  }

  async restart(): Promise<void> {
    await this.#container.run('systemctl', 'restart', unitName)
  }
}
