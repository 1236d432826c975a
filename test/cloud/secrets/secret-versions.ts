export type SecretValue = { readonly text: string } | { readonly bytes: Uint8Array }

export interface SecretVersion {
  /** 32 to 64 characters: the ClientRequestToken that it was put with. */
  readonly id: string
  readonly value: SecretValue
  readonly createdMs: number
  /** Staging labels. A version without any is deprecated, still there by its id, and the first to be dropped. */
  readonly stages: readonly string[]
}

const maxVersions = 100

/**
 * Attaches staging labels to a version, taking each from the version that holds it. Whoever loses AWSCURRENT becomes
 * AWSPREVIOUS ("PutSecretValue", AWS Secrets Manager API Reference).
 */
export function moveStages(
  versions: readonly SecretVersion[],
  id: string,
  stages: readonly string[],
): readonly SecretVersion[] {
  const demoted = stages.includes('AWSCURRENT') ? findStage(versions, 'AWSCURRENT')?.id : undefined
  const takesPrevious = demoted !== undefined && demoted !== id
  const moved = versions.map((version) => {
    const kept = version.stages.filter(
      (stage) => !stages.includes(stage) && !(takesPrevious && stage === 'AWSPREVIOUS'),
    )
    if (version.id === id) return { ...version, stages: [...kept, ...stages] }
    return { ...version, stages: takesPrevious && version.id === demoted ? [...kept, 'AWSPREVIOUS'] : kept }
  })
  return dropDeprecated(moved)
}

export function findStage(versions: readonly SecretVersion[], stage: string): SecretVersion | undefined {
  return versions.find(({ stages }) => stages.includes(stage))
}

export function sameValue(one: SecretValue, other: SecretValue): boolean {
  if ('text' in one) return 'text' in other && one.text === other.text
  return 'bytes' in other && Buffer.compare(one.bytes, other.bytes) === 0
}

function dropDeprecated(versions: readonly SecretVersion[]): readonly SecretVersion[] {
  const excess = versions.length - maxVersions
  if (excess <= 0) return versions
  const dropped = new Set(versions.filter(({ stages }) => stages.length === 0).slice(0, excess))
  return versions.filter((version) => !dropped.has(version))
}
