import type { Ingredient } from './ingredients.ts'

export interface SbomSources {
  readonly version: string
  /** What is bundled, and what is linked into each, with its version where it is known. */
  readonly ingredients: readonly (Ingredient & { readonly contains?: Readonly<Record<string, string | undefined>> })[]
}

/**
 * A CycloneDX 1.6 document. The same checkout gives the same bytes: it carries no serial number and no time. Digests are
 * those of the npm packages.
 */
export function renderSbom({ version, ingredients }: SbomSources): string {
  const components = ingredients.map(({ name, version, license, sha512, contains }) => ({
    type: 'library',
    'bom-ref': npmUrl(name, version),
    name,
    version,
    licenses: [{ license: { id: license } }],
    hashes: [{ alg: 'SHA-512', content: sha512 }],
    purl: npmUrl(name, version),
    ...(contains === undefined ? {} : { components: linkedComponents(npmUrl(name, version), contains) }),
  }))
  const root = {
    type: 'application',
    'bom-ref': 'panorama-agent',
    name: 'panorama-agent',
    version,
    licenses: [{ license: { id: 'Apache-2.0' } }],
  }
  const document = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { component: root },
    components,
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

function linkedComponents(parent: string, contains: Readonly<Record<string, string | undefined>>): readonly unknown[] {
  return Object.entries(contains)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, version]) => ({
      type: 'library',
      'bom-ref': `${parent}#${name}`,
      name,
      ...(version === undefined ? {} : { version, purl: `pkg:generic/${name}@${encodeURIComponent(version)}` }),
    }))
}

/** https://github.com/package-url/purl-spec: a scope is a namespace, with its @ encoded. */
function npmUrl(name: string, version: string): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`
}
