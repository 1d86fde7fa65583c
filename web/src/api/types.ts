/** Names for the parts of the API's schema that the dashboard uses; the shapes come from the OpenAPI document. */

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Figure = Schemas["Figure"];
export type Unit = Figure["unit"];
export type Effective = Schemas["Effective"];
export type MemoryEstimate = Schemas["MemoryEstimate"];
export type Check = Schemas["Check"];
export type Candidate = Schemas["Candidate"];
export type Elimination = Schemas["Elimination"];
export type Relaxation = Schemas["Relaxation"];
export type FrontierPoint = Schemas["FrontierPoint"];
export type Recommended = Schemas["Recommended"];
export type Infeasible = Schemas["Infeasible"];
export type Plan = Schemas["Plan"];
export type VariantRow = Schemas["VariantRow"];
