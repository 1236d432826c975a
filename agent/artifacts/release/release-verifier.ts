import { AgentError } from '../../lib/errors.ts'
import { contentKey } from '../artifact-plan.ts'
import type { VerificationProgress } from '../artifact-status.ts'
import type { ReleaseActivation } from '../activation/release-activation.ts'
import type { ReleaseTree } from './release-tree.ts'
import { verifyRelease, type Verification } from './release-verification.ts'

export interface ReleaseVerifierDeps {
  readonly activation: ReleaseActivation
  readonly tree: ReleaseTree
}

/** Verifies the current release of an artifact, and knows how far that is. */
export class ReleaseVerifier {
  readonly #deps: ReleaseVerifierDeps
  #latest: { readonly progress: VerificationProgress } | undefined

  constructor(deps: ReleaseVerifierDeps) {
    this.#deps = deps
  }

  /** While `verify` runs; of the call that came on last when it runs more than once. */
  get progress(): VerificationProgress | undefined {
    return this.#latest?.progress
  }

  /** See ArtifactSync. */
  async verify(signal: AbortSignal): Promise<Verification> {
    const { activation, tree } = this.#deps
    const { record, bytes: totalBytes = 0 } = activation.installed ?? {}
    if (record === undefined) throw new AgentError('no release is installed', { retryable: true })
    const total = { totalFiles: record.files.length, totalBytes }
    const root = await tree.pathOf(record.releaseId)
    let own = { progress: { files: 0, bytes: 0, ...total } }
    this.#latest = own
    const onProgress = (read: Pick<VerificationProgress, 'files' | 'bytes'>): void => {
      own = { progress: { ...read, ...total } }
      this.#latest = own
    }
    try {
      const { damaged, ...found } = await verifyRelease({ root, record, signal, onProgress })
      if (damaged.length > 0) await activation.drop(new Set(damaged.map(contentKey)))
      return { ...found, releaseId: record.releaseId, damaged: damaged.map(({ path }) => path) }
    } finally {
      if (this.#latest === own) this.#latest = undefined
    }
  }
}
