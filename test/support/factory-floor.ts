import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'

import { identityFolderIn } from '../../agent/config/base-document.ts'
import type { FirstBootOptions } from '../../agent/composition/first-boot/first-boot.ts'
import { openIdentityStore } from '../../agent/identity/identity-store.ts'
import type { StoredIdentity } from '../../agent/identity/stored-identity.ts'
import type { IotCloud } from '../cloud/iot/iot-cloud.ts'
import { imageConfig, writeClaimFiles, type ClaimFiles } from './claim-files.ts'
import { floorNews, imageFolder, type FloorNews, type FloorOrder } from './factory-floor-messages.ts'
import { RecordingLog } from './recording-log.ts'

export interface FactoryFloorOptions {
  readonly cloud: IotCloud
  readonly folder: string
  readonly count: number
  /** Default: as in the field. */
  readonly overrides?: FirstBootOptions['overrides'] | undefined
}

type Said = Extract<FloorNews, { kind: 'said' }>

/**
 * Appliances that were never booted, with one image and so one claim, and a serial number each. They run in one process beside that of
 * the cloud, which so has a processor for its side of the handshakes. The CRT reads the roots of the system for each connection, whatever
 * it is told to trust: that is the work of as many processors in the field, so there are few of them here.
 */
export class FactoryFloor implements AsyncDisposable {
  readonly claimId: string
  readonly #options: FactoryFloorOptions
  readonly #child: ChildProcess
  readonly #provisionedAtMs = new Map<number, number>()
  #said = Promise.withResolvers<Said>()
  #failure: Error | undefined

  private constructor(options: FactoryFloorOptions, { claimId, rootCa }: ClaimFiles) {
    this.#options = options
    this.claimId = claimId
    const script = join(import.meta.dirname, 'factory-floor-process.ts')
    const args = [options.folder, JSON.stringify(options.overrides ?? {})]
    const env = { ...process.env, SSL_CERT_FILE: rootCa, SSL_CERT_DIR: options.folder }
    this.#child = fork(script, args, { execArgv: ['--disable-warning=ExperimentalWarning'], env })
    this.#child.on('message', (message) => {
      this.#hear(floorNews.parse(message))
    })
    this.#child.once('exit', () => {
      this.#failure ??= new Error('the process of the appliances has ended')
    })
  }

  /** Makes their files; none of them is on yet. */
  static async create(options: FactoryFloorOptions): Promise<FactoryFloor> {
    const { cloud, folder, count } = options
    const claim = await writeClaimFiles(cloud, folder)
    for (let number = 1; number <= count; number += 1)
      await writeImage({ cloud, claim, own: imageFolder(folder, number) })
    return new FactoryFloor(options, claim)
  }

  /** One after the other. */
  switchOn(withinMs: number): void {
    this.#order({ kind: 'switch-on', count: this.#options.count, withinMs })
  }

  /** By number, when its first boot ended with an identity, by the clock of the cloud. Throws once one has given up. */
  get provisionedAtMs(): ReadonlyMap<number, number> {
    if (this.#failure !== undefined) throw this.#failure
    return this.#provisionedAtMs
  }

  /** Each with what it keeps on its disk. */
  async stored(): Promise<readonly { readonly thingName: string; readonly identity: StoredIdentity | undefined }[]> {
    const { folder, count, cloud } = this.#options
    const log = new RecordingLog()
    const numbers = Array.from({ length: count }, (_, index) => index + 1)
    return await Promise.all(
      numbers.map(async (number) => {
        const own = imageFolder(folder, number)
        const store = openIdentityStore({ folder: identityFolderIn(join(own, 'state')), log, now: cloud.now })
        return { thingName: `panorama_${basename(own)}`, identity: await store.current() }
      }),
    )
  }

  /** What they have logged, and how large their process is. */
  async said(): Promise<Said> {
    this.#said = Promise.withResolvers<Said>()
    this.#order({ kind: 'say' })
    return await this.#said.promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }

  #order(order: FloorOrder): void {
    this.#child.send(order)
  }

  #hear(news: FloorNews): void {
    switch (news.kind) {
      case 'provisioned':
        this.#provisionedAtMs.set(news.number, this.#options.cloud.now())
        return
      case 'gave-up':
        this.#failure = new Error(`appliance ${news.number} gave up: ${news.why}`)
        return
      case 'said':
        this.#said.resolve(news)
    }
  }
}

interface Image {
  readonly cloud: IotCloud
  readonly claim: ClaimFiles
  readonly own: string
}

async function writeImage({ cloud, claim, own }: Image): Promise<void> {
  const serialNumberFile = join(own, 'serial')
  const paths = { state: join(own, 'state'), runtime: join(own, 'run') }
  await mkdir(own)
  await writeFile(serialNumberFile, `${basename(own)}\n`)
  await writeFile(join(own, 'config.json'), JSON.stringify(imageConfig({ cloud, claim, serialNumberFile, paths })))
}
