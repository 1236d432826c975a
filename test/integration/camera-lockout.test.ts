import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import fc from 'fast-check'
import { expect, test, vi } from 'vitest'

import { CameraFiles } from '../../agent/cameras/camera-files.ts'
import { CameraWorker } from '../../agent/cameras/camera-worker.ts'
import { AgentError } from '../../agent/lib/errors.ts'
import { camerasConfig } from '../support/cameras-config.ts'
import { FakeCameras } from '../support/fake-cameras.ts'
import { FakeCopies } from '../support/fake-copies.ts'
import { fakeCameraGroups } from '../support/fake-camera-groups.ts'
import { FakeSecretReader } from '../support/fake-secret-reader.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { running, type RunningWorker } from '../support/running-worker.ts'
import { tempFolder } from '../support/temp-folder.ts'

const minuteMs = 60_000
/** Two cameras of a recorder, and one by itself. */
const hosts: Readonly<Record<string, string>> = { left: 'recorder', right: 'recorder', door: 'door' }
const names = Object.keys(hosts)

type Command =
  | { readonly do: 'rotate'; readonly camera: string; readonly password: string }
  | { readonly do: 'set'; readonly host: string; readonly password: string }
  | { readonly do: 'reach'; readonly host: string; readonly isReachable: boolean; readonly isUnclear: boolean }
  | { readonly do: 'wait'; readonly minutes: number }
  /** Whether AWSPREVIOUS may be read. */
  | { readonly do: 'deny'; readonly isDenied: boolean }
  | { readonly do: 'refresh' | 'restart' | 'lose the ledger' }

const password = fc.constantFrom('one', 'two', 'three', 'four')
const host = fc.constantFrom('recorder', 'door')
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ do: fc.constant('rotate' as const), camera: fc.constantFrom(...names), password }),
  fc.record({ do: fc.constant('set' as const), host, password }),
  fc.record({
    do: fc.constant('reach' as const),
    host,
    isReachable: fc.boolean(),
    isUnclear: fc.boolean(),
  }),
  { arbitrary: fc.record({ do: fc.constant('wait' as const), minutes: fc.integer({ min: 1, max: 40 }) }), weight: 3 },
  { arbitrary: fc.record({ do: fc.constantFrom('refresh' as const, 'restart' as const) }), weight: 4 },
  fc.record({ do: fc.constant('lose the ledger' as const) }),
  fc.record({ do: fc.constant('deny' as const), isDenied: fc.boolean() }),
)

test('never writes a refused credential, replaces a good one only with one that was taken, and stays within two refusals in 30 minutes', async () => {
  vi.useFakeTimers({ toFake: ['performance', 'Date'] })
  try {
    const runs = fc.asyncProperty(fc.array(command, { minLength: 12, maxLength: 30 }), playAll)
    await fc.assert(runs, { numRuns: 25 })
  } finally {
    vi.useRealTimers()
  }
}, 120_000)

async function playAll(commands: readonly Command[]): Promise<void> {
  await using site = await Site.open()
  for (const each of commands) {
    await site.play(each)
    await site.play({ do: 'refresh' })
  }
  await site.endWell()
}

interface File {
  readonly password: string
  readonly versionId: string
}

/** An appliance with three cameras, and what has to hold for them. */
class Site implements AsyncDisposable {
  readonly #folder: string
  readonly #owned: AsyncDisposableStack
  readonly #reader = new FakeSecretReader()
  readonly #copies = new FakeCopies()
  readonly #cameras = new FakeCameras(() => Date.now())
  readonly #files = new Map<string, File>()
  #worker: CameraWorker
  #run: RunningWorker
  #versions = 0
  #isPreviousDenied = false
  readonly #passwords = new Map<string, string>()

  private constructor(folder: string, owned: AsyncDisposableStack) {
    this.#folder = folder
    this.#owned = owned
    this.#worker = this.#make()
    this.#run = running(this.#worker.worker)
  }

  static async open(): Promise<Site> {
    await using owned = new AsyncDisposableStack()
    const { path } = owned.use(await tempFolder())
    const site = new Site(path, owned.move())
    for (const each of ['recorder', 'door']) site.#cameras.put(each, 'one')
    for (const name of names) site.#store(name, name === 'right' ? 'two' : 'one')
    await site.#refresh()
    return site
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#run.stop()
    await this.#owned.disposeAsync()
  }

  async play(each: Command): Promise<void> {
    switch (each.do) {
      case 'rotate':
        this.#store(each.camera, each.password)
        break
      case 'set':
        this.#cameras.put(each.host, each.password)
        break
      case 'reach':
        Object.assign(this.#cameras.put(each.host, this.#passwordOf(each.host)), each)
        break
      case 'wait':
        vi.advanceTimersByTime(each.minutes * minuteMs)
        break
      case 'deny':
        this.#isPreviousDenied = each.isDenied
        break
      case 'restart':
        await this.#restart()
        break
      case 'lose the ledger':
        await this.#restart(true)
        break
      case 'refresh':
        await this.#refresh()
    }
  }

  /** Once cameras have what their secrets say, each gets it, however often it refused it before. */
  async endWell(): Promise<void> {
    const [recorder = '', door = ''] = ['left', 'door'].map((name) => this.#passwords.get(name))
    if (this.#passwords.get('right') !== recorder) this.#store('right', recorder)
    Object.assign(this.#cameras.put('recorder', recorder), { isReachable: true, isUnclear: false })
    Object.assign(this.#cameras.put('door', door), { isReachable: true, isUnclear: false })
    for (let halfHours = 0; halfHours < 6; halfHours += 1) {
      vi.advanceTimersByTime(31 * minuteMs)
      await this.#refresh()
    }
    for (const name of names) expect(this.#files.get(name)?.password).toBe(this.#passwords.get(name))
  }

  #passwordOf(of: string): string {
    return this.#cameras.get(of)?.password ?? ''
  }

  #store(name: string, text: string): void {
    this.#versions += 1
    this.#passwords.set(name, text)
    const streamUrl = `rtsp://${hosts[name] ?? ''}/${name}`
    const document = JSON.stringify({ username: 'admin', password: text, streamUrl })
    this.#reader.set(name, { versionId: `v${this.#versions}`, text: document })
  }

  async #restart(losesLedger = false): Promise<void> {
    await this.#run.stop()
    if (losesLedger) {
      await overwriteLedger(this.#ledgerPath)
      // what was refused before cannot be known any more; a camera without any credential gets an untried one then
      for (const each of ['recorder', 'door']) this.#cameras.get(each)?.refused.clear()
    }
    this.#worker = this.#make()
    this.#run = running(this.#worker.worker)
  }

  async #refresh(): Promise<void> {
    await this.#worker.refreshNow(undefined).catch(() => undefined)
    for (const name of names) await this.#checkFile(name)
    for (const each of new Set(Object.values(hosts))) this.#checkRefusals(each)
  }

  async #checkFile(name: string): Promise<void> {
    const before = this.#files.get(name)
    const text = await readFile(join(this.#folder, 'run', `${name}.json`), 'utf8').catch(() => undefined)
    if (text === undefined) {
      expect(before).toBeUndefined()
      return
    }
    const file = JSON.parse(text) as File // as the worker made it
    this.#files.set(name, file)
    const camera = this.#cameras.get(hosts[name] ?? '')
    if (before === undefined && camera?.isReachable === true && !camera.isUnclear) {
      expect(camera.refused).not.toContain(file.password)
    }
    if (before === undefined || before.password === file.password) return
    // a credential that took the place of another is the one that the camera has
    expect(file.password).toBe(this.#passwordOf(hosts[name] ?? ''))
  }

  #checkRefusals(of: string): void {
    const times = this.#cameras.get(of)?.refusedAtMs ?? []
    for (const [index, at] of times.entries()) {
      const third = times[index + 2]
      if (third !== undefined) expect(third - at).toBeGreaterThan(30 * minuteMs)
    }
  }

  get #ledgerPath(): string {
    return join(this.#folder, 'state', 'refusals.json')
  }

  #make(): CameraWorker {
    return new CameraWorker({
      cameras: camerasConfig({ streams: names.map((name) => ({ name, secretId: name })) }),
      thingName: 'dock',
      reader: {
        batch: this.#reader.batch,
        current: this.#reader.current,
        previous: async (...asked) => {
          if (this.#isPreviousDenied) throw new AgentError('AWSPREVIOUS is denied')
          return await this.#reader.previous(...asked)
        },
      },
      probe: this.#cameras.probe,
      files: new CameraFiles(join(this.#folder, 'run')),
      copies: this.#copies,
      groups: fakeCameraGroups(),
      hooks: { changed: () => undefined },
      ledgerPath: this.#ledgerPath,
      cloudNow: () => Date.now(),
      log: new RecordingLog(),
    })
  }
}

async function overwriteLedger(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, '{')
}
