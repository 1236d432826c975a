import { askCloud } from './ask-cloud.ts'

/** What the command line says about a shadow. */
export interface ShadowOptions {
  readonly folder?: string | undefined
  readonly thing: string
  readonly shadow: string
}

/** Prints a named shadow of a thing as JSON. Throws an Error that says what is wrong. */
export async function runShadowCommand(
  verb: string | undefined,
  { folder, thing, shadow }: ShadowOptions,
): Promise<void> {
  if (verb !== 'get') throw new Error(`"shadow ${verb ?? ''}" is not known: get`)
  const document = await askCloud(folder, { command: 'get-shadow', thingName: thing, shadowName: shadow })
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
}
