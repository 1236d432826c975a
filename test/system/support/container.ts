import { spawn, type ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { runCommand, type CommandResult } from '../../support/run-command.ts'
import { pollUntil } from './poll-until.ts'
import { ControlGroup } from './control-group.ts'

/** Enters the control groups in `$1...` up to `--`, then becomes the command after it. */
const enterGroups = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'
/** Ours alone; the names of what we share with the host are the host's. */
const nspawnOptions = [
  '--boot',
  '--register=no',
  '--keep-unit',
  '--quiet',
  '--console=read-only',
  '--kill-signal=SIGRTMIN+3',
  '--link-journal=no',
  '--resolv-conf=off',
  '--timezone=off',
  '--hostname=appliance',
]
/** With --keep-unit, systemd-nspawn leaves it to its caller to boot again. */
const rebootCode = 133
const bootWithinMs = 60_000
const stopWithinMs = 60_000

export interface ContainerOptions {
  /** The root file system that it boots and changes. */
  readonly root: string
  /** Unique among all that run. */
  readonly name: string
}

/**
 * A booted appliance: systemd as process 1 of systemd-nspawn, in the network of the host, without the right to change
 * it. Disposing of it kills whatever runs in it; the file system stays.
 */
export class Container implements AsyncDisposable {
  readonly root: string
  readonly #group: ControlGroup
  #nspawn: ChildProcess | undefined
  #leader = 0
  #console = ''

  private constructor(root: string, group: ControlGroup) {
    this.root = root
    this.#group = group
  }

  /** Makes it; nothing runs yet. */
  static async make({ root, name }: ContainerOptions): Promise<Container> {
    return new Container(root, await ControlGroup.make(name))
  }

  /** What it wrote to its console since the last boot. */
  get console(): string {
    return this.#console
  }

  /** The host's number of its process 1. */
  get leader(): number {
    return this.#leader
  }

  /** Every process in it, by the host's numbers. */
  async processes(): Promise<readonly number[]> {
    return await this.#group.processes()
  }

  /** Starts it and waits until every unit that starts at boot has started or failed. */
  async boot(): Promise<void> {
    this.#start()
    await this.settled()
  }

  /** Waits until a boot, ours or one after `reboot`, is through. */
  async settled(): Promise<void> {
    await pollUntil(
      'the container booted',
      async () => {
        if (this.#nspawn === undefined) throw new Error(`the container ended while it booted\n${this.#console}`)
        return await this.#isBooted()
      },
      bootWithinMs,
    )
  }

  /** A path of this side to a file as the container sees it, what is mounted there included. */
  path(path: string): string {
    return this.#nspawn === undefined ? join(this.root, path) : join('/proc', String(this.#leader), 'root', path)
  }

  /** Runs a command in it as root; rejects with what it printed when it does not exit with 0. */
  async run(command: string, ...args: readonly string[]): Promise<CommandResult> {
    return await runCommand('nsenter', [...this.#enter(), command, ...args])
  }

  /** The number of the command's exit code, and what it printed. */
  async attempt(command: string, ...args: readonly string[]): Promise<CommandResult & { readonly code: number }> {
    const script = '"$@"; echo "exit $?" >&2'
    const { stdout, stderr } = await this.run('sh', '-c', script, 'sh', command, ...args)
    const [, text = '', code = ''] = /^([^]*)exit (\d+)\n$/.exec(stderr) ?? []
    return { stdout, stderr: text, code: Number(code) }
  }

  /** Reboots it from inside, in order, and waits until it is up again. */
  async reboot(): Promise<void> {
    const { leader } = this
    await this.run('systemctl', 'reboot')
    await this.rebooted(leader)
  }

  /** Waits until it has booted with another process 1 than `leader`. */
  async rebooted(leader: number): Promise<void> {
    await pollUntil('the container reboots', async () => {
      const now = await childOf(this.#nspawn?.pid ?? 0)
      return now !== undefined && now !== leader
    })
    await this.settled()
  }

  /** Shuts it down in order. */
  async stop(): Promise<void> {
    this.#nspawn?.kill('SIGTERM')
    await pollUntil('the container shut down', () => this.#nspawn === undefined, stopWithinMs)
  }

  /** As when the power is cut, but for what the host's page cache still holds: everything dies where it stands. */
  async cutPower(): Promise<void> {
    await this.#group.kill()
    await pollUntil('the container ended', () => this.#nspawn === undefined)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cutPower()
    await this.#group[Symbol.asyncDispose]()
  }

  #start(): void {
    this.#console = ''
    const nspawn = ['systemd-nspawn', ...nspawnOptions, `--directory=${this.root}`]
    const args = ['--pdeathsig', 'KILL', 'sh', '-c', enterGroups, 'sh', ...this.#group.folders, '--', ...nspawn]
    const child = spawn('setpriv', args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#nspawn = child
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#console += text
      })
    child.once('error', (error) => {
      this.#console += String(error)
      this.#nspawn = undefined
    })
    child.once('close', (code) => {
      this.#nspawn = undefined
      if (code === rebootCode) this.#start()
    })
  }

  #enter(): readonly string[] {
    const target = ['-t', String(this.#leader), '-m', '-p', '-n', '-u', '-i', '-C', '--']
    return [...target, '/usr/bin/env', '--chdir=/', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C.UTF-8']
  }

  async #isBooted(): Promise<boolean> {
    const leader = await childOf(this.#nspawn?.pid ?? 0)
    if (leader === undefined) return false
    this.#leader = leader
    const state = await this.run('systemctl', 'is-system-running').then(
      ({ stdout }) => stdout.trim(),
      (error: unknown) => String(error),
    )
    return /\b(running|degraded)\b/.test(state)
  }
}

/** The one child of a process; undefined while it has none. */
async function childOf(pid: number): Promise<number | undefined> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  const [child] = children.split(' ').filter(Boolean).map(Number)
  return child
}
